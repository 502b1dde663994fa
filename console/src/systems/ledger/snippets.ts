// First steps, ready to paste: the same on the empty page and on the home page.
export function curlSnippet(directory: string): string {
  return [
    `ask() { at=$1; shift; curl -sS --unix-socket ${directory}/run/polis.sock "http://polis/ledger/v1/$at" "$@"; echo; }`,
    `ask ledgers  -d '{"id":840,"asset":"USD","scale":2}'`,
    `ask accounts -d '{"name":"alice","ledger":840}'`,
    `ask accounts -d '{"name":"shop","ledger":840}'`,
    `ask transactions -H 'Idempotency-Key: watch-1' -d '{"reference":"watch-1",\n  "postings":[{"from":"alice","to":"shop","amount":"20000","asset":"USD"}]}'`,
  ].join("\n");
}

export function nodeSnippet(host: string, port: number): string {
  return `// npm install tigerbeetle-node@0.17.9
const { createClient, id } = require("tigerbeetle-node");
const client = createClient({ cluster_id: 0n, replica_addresses: ["${host}:${port}"] });
const account = { debits_pending: 0n, debits_posted: 0n, credits_pending: 0n, credits_posted: 0n, user_data_128: 0n,
  user_data_64: 0n, user_data_32: 0, reserved: 0, ledger: 840, code: 2, flags: 0, timestamp: 0n };
(async () => {
  console.log(await client.createAccounts([{ ...account, id: 1n }, { ...account, id: 2n }]));
  console.log(await client.createTransfers([{ id: id(), debit_account_id: 1n, credit_account_id: 2n, amount: 20000n,
    pending_id: 0n, user_data_128: 0n, user_data_64: 0n, user_data_32: 0, timeout: 0, ledger: 840, code: 1, flags: 0, timestamp: 0n }]));
  client.destroy();
})();`;
}
