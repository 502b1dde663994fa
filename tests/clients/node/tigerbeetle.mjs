// An unmodified TigerBeetle client over everything that its own tests leave out: the largest batches, many callers at
// once, and a server that dies under a running session. TIGERBEETLE_SETTINGS: {"port", "mode": "work"|"kill"|"rights"}.
import assert from "node:assert";
import { createInterface } from "node:readline";
import { AccountFlags, AccountFilterFlags, CreateAccountStatus, CreateTransferStatus, TransferFlags, amount_max, createClient, id } from "tigerbeetle-node";

const settings = JSON.parse(process.env.TIGERBEETLE_SETTINGS);
const client = createClient({ cluster_id: 0n, replica_addresses: [String(settings.port)] });
const LARGEST = 8189;
const OF_LEDGER_8 = 8_000_000n;

const account = (fields) => ({ id: 0n, debits_pending: 0n, debits_posted: 0n, credits_pending: 0n, credits_posted: 0n,
  user_data_128: 0n, user_data_64: 0n, user_data_32: 0, reserved: 0, ledger: 7, code: 1, flags: 0, timestamp: 0n, ...fields });
const transfer = (fields) => ({ id: id(), debit_account_id: 0n, credit_account_id: 0n, amount: 1n, pending_id: 0n,
  user_data_128: 0n, user_data_64: 0n, user_data_32: 0, timeout: 0, ledger: 7, code: 1, flags: 0, timestamp: 0n, ...fields });
const created = (results) => results.every((each) => each.status === CreateTransferStatus.created);

async function work() {
  const accounts = Array.from({ length: LARGEST }, (_, i) => account({ id: BigInt(i + 1), flags: i === 0 ? AccountFlags.history : 0 }));
  const made = await client.createAccounts(accounts);
  assert.equal(made.length, LARGEST);
  assert(made.every((each) => each.status === CreateAccountStatus.created));
  // The same again: every one exists, with the timestamp of the first time.
  const again = await client.createAccounts(accounts);
  assert(again.every((each, i) => each.status === CreateAccountStatus.exists && each.timestamp === made[i].timestamp));

  const batch = Array.from({ length: LARGEST }, (_, i) => transfer({ debit_account_id: 1n, credit_account_id: BigInt(i % 8000 + 2), amount: BigInt(i + 1) }));
  assert(created(await client.createTransfers(batch)));
  const found = await client.lookupTransfers(batch.map((each) => each.id));
  assert.equal(found.length, LARGEST);
  assert(found.every((each, i) => each.id === batch[i].id && each.amount === batch[i].amount));
  const filter = { account_id: 1n, user_data_128: 0n, user_data_64: 0n, user_data_32: 0, code: 0, timestamp_min: 0n, timestamp_max: 0n,
    limit: LARGEST, flags: AccountFilterFlags.debits | AccountFilterFlags.credits };
  assert.equal((await client.getAccountTransfers(filter)).length, LARGEST);
  const balances = await client.getAccountBalances(filter);
  assert.equal(balances.length, LARGEST);
  const total = BigInt(LARGEST) * BigInt(LARGEST + 1) / 2n;
  assert.equal(balances.at(-1).debits_posted, total);
  assert.equal((await client.lookupAccounts([1n]))[0].debits_posted, total);
  // The last page, newest first, and two users' filters in one message.
  const newest = await client.getAccountTransfers({ ...filter, limit: 10, flags: filter.flags | AccountFilterFlags.reversed });
  assert.equal(newest[0].id, batch.at(-1).id);

  // Many callers at once: the client puts their batches into one message.
  const several = await Promise.all(Array.from({ length: 300 }, (_, i) => client.createTransfers(
    Array.from({ length: i % 5 }, () => transfer({ debit_account_id: BigInt(i + 2), credit_account_id: 1n })))));
  several.forEach((results, i) => { assert.equal(results.length, i % 5); assert(created(results)); });
  const looked = await Promise.all(Array.from({ length: 300 }, (_, i) => client.lookupAccounts([BigInt(i + 1), 1_000_000n])));
  looked.forEach((rows, i) => { assert.equal(rows.length, 1); assert.equal(rows[0].id, BigInt(i + 1)); });

  // A linked chain that breaks leaves nothing; a pending transfer is posted in part.
  const linked = { flags: TransferFlags.linked, debit_account_id: 2n, credit_account_id: 3n };
  const chain = await client.createTransfers([transfer(linked), transfer(linked), transfer({ debit_account_id: 2n, credit_account_id: 2n })]);
  assert.deepEqual(chain.map((each) => each.status), [CreateTransferStatus.linked_event_failed, CreateTransferStatus.linked_event_failed,
    CreateTransferStatus.accounts_must_be_different]);
  const pending = transfer({ debit_account_id: 4n, credit_account_id: 5n, amount: 100n, flags: TransferFlags.pending });
  assert(created(await client.createTransfers([pending])));
  assert(created(await client.createTransfers([transfer({ pending_id: pending.id, amount: 60n, flags: TransferFlags.post_pending_transfer, ledger: 0, code: 0 })])));
  const [exceeds] = await client.createTransfers([transfer({ pending_id: pending.id, amount: amount_max, flags: TransferFlags.post_pending_transfer })]);
  assert.equal(exceeds.status, CreateTransferStatus.pending_transfer_already_posted);
  await client.createAccounts([account({ id: OF_LEDGER_8, ledger: 8 })]);
  console.log("worked");
}

// Books without a pause until told to end, while the server is killed and started again. Every request must have been
// done exactly once: a transfer that reads "exists" was booked twice, or answered wrongly.
async function kill() {
  await client.createAccounts([account({ id: 1n }), account({ id: 2n })]);
  let end = false;
  const input = createInterface({ input: process.stdin });
  input.once("line", () => { end = true; input.close(); });
  let booked = 0n, requests = 0;
  while (!end) {
    const batch = Array.from({ length: requests % 50 === 0 ? 2000 : 10 }, () => transfer({ debit_account_id: 1n, credit_account_id: 2n }));
    const results = await client.createTransfers(batch);
    assert(created(results), `statuses ${[...new Set(results.map((each) => each.status))]}`);
    booked += BigInt(batch.length);
    if (++requests % 20 === 0) {
      const [debit] = await client.lookupAccounts([1n]);
      assert.equal(debit.debits_posted, booked);
    }
    if (requests % 50 === 1) console.log(`booked ${booked}`);
  }
  const [debit, credit] = await client.lookupAccounts([1n, 2n]);
  assert.equal(debit.debits_posted, booked);
  assert.equal(credit.credits_posted, booked);
  console.log(`ended ${booked}`);
}

// After work(), with a certificate whose rights are in ledger 7 alone.
async function rights() {
  const [made] = await client.createAccounts([account({ id: 7_000_000n })]);
  assert.equal(made.status, CreateAccountStatus.created);
  const seen = await client.lookupAccounts([1n, OF_LEDGER_8, 7_000_000n]);
  assert.deepEqual(seen.map((each) => each.id), [1n, 7_000_000n]);
  await assert.rejects(client.createAccounts([account({ id: 13n, ledger: 8 })]));
  console.log("refused");
  process.exit(0);  // the client 0.17.9 does not survive destroy() once its session was ended
}

try {
  await { work, kill, rights }[settings.mode]();
} finally {
  client.destroy();
}
