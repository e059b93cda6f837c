// rhea, the AMQP library of Node.js. Arguments: port, (unused), CA file for TLS or "-".
"use strict";
const fs = require("fs");
const rhea = require(process.env.RHEA);

const [port, , ca] = process.argv.slice(2);
let passed = 0;
let failed = 0;

function check(name, ok, text) {
  console.log(`${ok ? "ok" : "FAILED"} rhea: ${name}${ok ? "" : ` (${text})`}`);
  if (ok) passed++; else failed++;
}

const requests = [
  ["tenant", "tenant", { subject: "get", body: { "tenant-id": "T1" } }, 200],
  ["unknown tenant", "tenant", { subject: "get", body: { "tenant-id": "nobody" } }, 404],
  ["credentials", "credentials/T1", { subject: "get", body: { type: "hashed-password", "auth-id": "sensor" } }, 200],
  ["assert", "registration/T1", { subject: "assert", application_properties: { device_id: "sensor" } }, 200],
  ["assert of nobody", "registration/T1", { subject: "assert", application_properties: { device_id: "nobody" } }, 404],
];

const options = {
  host: "localhost", port: Number(port), username: "adapter@HONO", password: "secret", reconnect: false,
};
if (ca !== "-") Object.assign(options, { transport: "tls", ca: [fs.readFileSync(ca)] });
const connection = rhea.connect(options);
const deadline = setTimeout(() => finish("no answer within 60 s"), 60000);

function finish(error) {
  clearTimeout(deadline);
  if (error) check("to its end", false, error);
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed === 0 && passed > 0 ? 0 : 1);
}

function run(index) {
  if (index === requests.length) {
    const refused = connection.open_sender("nowhere");
    refused.on("sender_error", (context) => {
      check("a link to nowhere is refused", context.sender.error.condition === "amqp:not-found",
        context.sender.error.condition);
      connection.close();
    });
    return;
  }
  const [name, address, message, status] = requests[index];
  const reply = `${address}/rhea-${index}`;
  const receiver = connection.open_receiver(reply);
  const id = `case-${index}`;
  receiver.on("receiver_open", () => {
    const sender = connection.open_sender(address);
    sender.once("sendable", () => sender.send({
      ...message, message_id: id, reply_to: reply, content_type: "application/json",
      body: message.body ? rhea.message.data_section(Buffer.from(JSON.stringify(message.body))) : undefined,
    }));
  });
  receiver.on("message", ({ message: answer }) => {
    check(name, answer.application_properties.status === status && answer.correlation_id === id,
      JSON.stringify(answer));
    receiver.close();
    run(index + 1);
  });
}

connection.on("connection_open", () => run(0));
connection.on("connection_close", () => finish());
connection.on("disconnected", () => finish("disconnected"));
