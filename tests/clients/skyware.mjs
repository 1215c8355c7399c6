// The events as @skyware/jetstream gives them.
// Arguments: the address, and the number of events.
import { Jetstream } from "@skyware/jetstream";
import WebSocket from "ws";
import { describe } from "./describe.mjs";

const [address, count] = process.argv.slice(2);
const jetstream = new Jetstream({
  endpoint: `ws://${address}/subscribe`,
  cursor: 1,
  ws: WebSocket,
});
let left = Number(count);
const print = (event) => {
  if (left > 0) console.log(describe(event));
  left -= 1;
  if (left === 0) jetstream.close();
};
for (const kind of ["commit", "account", "identity"]) jetstream.on(kind, print);
jetstream.on("close", () => process.exit(left > 0 ? 1 : 0));
jetstream.on("error", (error) => console.error(error?.message ?? error));
jetstream.start();
