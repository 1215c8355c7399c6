// The one form in which the clients are compared.
export function describe(event) {
  const { did, kind } = event;
  if (kind === "commit") {
    const { rev, operation, collection, rkey } = event.commit;
    return `${did} ${rev} ${operation} ${collection}/${rkey}`;
  }
  return `${did} ${kind} ${event[kind].seq}`;
}
