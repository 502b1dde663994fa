// The console's idea of the ledger's API against the server's: every field of every type in console/src/systems/ledger/api.ts.
import { check, run, waitFor } from "./lib.mjs";
import { interfacesOf, sampleOf, same } from "./shapes.mjs";

const base = "/api/ledger/v1/console";
const types = interfacesOf("console/src/systems/ledger/api.ts");
const send = (body) => ({ method: "POST", body: JSON.stringify(body) });

run(
  {
    async the_answers_have_the_fields_that_the_console_names({ polis }) {
      await polis.signIn();
      for (const id of ["1", "2"]) same(types.Booked, await polis.json(`${base}/accounts`, send({ id, ledger: 840, code: 2 })), "accounts");
      const transfer = { id: "10", debit_account_id: "1", credit_account_id: "2", amount: "500", ledger: 840, code: 1 };
      same(types.Booked, await polis.json(`${base}/transfers`, send(transfer)), "transfers");
      await polis.json(`${base}/transfers`, send({ ...transfer, id: "11", flags: 2 }));
      same(types.Booked, await polis.json(`${base}/transfers/11/post`, send({})), "transfers/post");

      const accounts = await polis.json(`${base}/accounts`);
      same(types.AccountsPage, accounts, "accounts");
      same(types.Account, accounts.accounts[0], "accounts.accounts");
      const view = await polis.json(`${base}/accounts/1`);
      same(types.AccountView, view, "account");
      same(types.Account, view.account, "account.account");
      view.transfers.forEach((one) => same(types.Transfer, one, "account.transfers"));
      const flows = await polis.json(`${base}/flows?ledger=840`);
      same(types.Flows, flows, "flows");
      same(types.Flow, flows.flows[0], "flows.flows");
      const chain = await polis.json(`${base}/chain`);
      same(types.Chain, chain, "chain");
      same(types.Link, chain.links[0], "chain.links");
      same(types.OpAt, await polis.json(`${base}/chain/op-at?time=2100-01-01T00:00:00Z`), "op-at");
      same(types.SignedHead, await polis.json(`${base}/head`), "head");
      const proof = await polis.json(`${base}/proof/10`);
      same(types.Proof, proof, "proof");
      same(types.Link, proof.link, "proof.link");
      same(types.Transfer, proof.transfer, "proof.transfer");
      same(types.Verify, await polis.json(`${base}/verify`, { method: "POST" }), "verify");
      same(types.TrialSample, await polis.json(`${base}/trial-balance`), "trial-balance");
      const lab = await polis.json(`${base}/lab`, send({ workers: [1], point_ms: 10 }));
      same(types.LabSample, lab, "lab");
    },

    async the_live_topics_have_the_fields_that_the_console_names({ polis }) {
      const live = await sampleOf(polis, "ledger.live");
      same(types.LiveSample, live, "ledger.live");
      same(types.Committed, Object.values(live.batches)[0], "ledger.live batches");
      same(types.Verify, live.verify, "ledger.live verify");
      const trial = await sampleOf(polis, "ledger.trial");
      same(types.TrialSample, trial, "ledger.trial");
      same(types.LedgerTotals, Object.values(trial.ledgers)[0], "ledger.trial ledgers");
      await waitFor("the lab has measured", 10_000, async () => !(await polis.json(`${base}/lab`)).running);
      const lab = await sampleOf(polis, "ledger.lab");
      same(types.LabSample, lab, "ledger.lab");
      same(types.LabPoint, Object.values(lab.points)[0], "ledger.lab points");
      check(lab.error === "", `the lab ended well: ${lab.error}`);
      const seconds = await waitFor("a second has ended", 5_000, async () => {
        const sample = await sampleOf(polis, "ledger.seconds");
        return Object.keys(sample.seconds).length > 0 && sample;
      });
      same(types.SecondsSample, seconds, "ledger.seconds");
      check(Object.values(seconds.seconds)[0].length === 5, "five numbers a second");
    },

    async the_api_is_for_those_who_signed_in({ polis }) {
      for (const path of ["accounts", "accounts/1", "chain", "head", "proof/10", "trial-balance"])
        check((await fetch(`${polis.url}${base}/${path}`)).status === 401, `nobody reads ${path}`);
      const post = await fetch(`${polis.url}${base}/transfers`, send({}));
      check(post.status === 401, `nobody posts: ${post.status}`);
    },
  },
  ["ledger"],
);
