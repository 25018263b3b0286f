// Reads deliveries as JSON from stdin. Writes for each whether the library verifies it, and its own signature.
import { readFileSync } from "node:fs";
import { Webhook } from "standardwebhooks";

function isVerified(webhook, body, headers) {
  try {
    webhook.verify(body, headers);
    return true;
  } catch {
    return false;
  }
}

const found = JSON.parse(readFileSync(0)).map(({ secret, headers, body }) => {
  const webhook = new Webhook(secret);
  const at = new Date(Number(headers["webhook-timestamp"]) * 1000);
  return {
    verified: isVerified(webhook, body, headers),
    changed: isVerified(webhook, body + " ", headers),
    signature: webhook.sign(headers["webhook-id"], at, body),
  };
});
process.stdout.write(JSON.stringify(found));
