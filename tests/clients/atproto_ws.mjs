// The events of version 2 as Bluesky's own @atproto/ws-client and @atproto/lex-json give them: the
// registry has no client made for it.
// Arguments: the address, and the number of events.
import { lexParse } from "@atproto/lex-json";
import { websocket } from "@atproto/ws-client";
import { describe } from "./describe.mjs";

const [address, count] = process.argv.slice(2);
const method = "network.bsky.jetstream.subscribeEvents";
const messages = websocket(`ws://${address}/xrpc/${method}?cursor=1`, {
  dataMode: "text",
  protocols: ["xrpc.v1.json"],
  shouldReconnect: false,
});
let left = Number(count);
for await (const message of messages) {
  const { $type, payload } = lexParse(message);
  if ($type !== "message") throw new Error(`not an event: ${message}`);
  const kind = payload.$type.slice(method.length + 1);
  // Version 1, which is the measure, has no syncs.
  if (kind === "sync") continue;
  console.log(describe(kind === "commit" ? { ...payload, kind, commit: payload } : { ...payload, kind }));
  left -= 1;
  if (left === 0) break;
}
process.exit(0);
