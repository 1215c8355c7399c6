// The events as @atcute/jetstream gives them, each checked by its schemas.
// Arguments: the address, and the number of events.
import { JetstreamSubscription } from "@atcute/jetstream";
import WebSocket from "ws";
import { describe } from "./describe.mjs";

const [address, count] = process.argv.slice(2);
const subscription = new JetstreamSubscription({
  url: `ws://${address}`,
  cursor: 1,
  ws: { WebSocket },
  onError: (error) => console.error("not valid:", JSON.stringify(error.issues?.[0], null, 1)),
});
let left = Number(count);
for await (const event of subscription) {
  console.log(describe(event));
  left -= 1;
  if (left === 0) break;
}
process.exit(0);
