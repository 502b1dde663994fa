// Booking by hand: an account, a transfer, and the second phase of a pending one. The id is made here and sent again when a request
// is repeated, so that a lost answer never books twice.
import { useRef, useState } from "react";
import { ApiError } from "../../app/api";
import { address, navigate } from "../../app/router";
import { FormDialog } from "../../parts/FormDialog";
import { Icon } from "../../parts/icons";
import { assetOf, money, newId, parseAmount, PENDING, type Asset } from "./amounts";
import * as api from "./api";
import type { Transfer } from "./api";
import { AccountPicker } from "./AccountPicker";
import { ledgerTitle, listOf, useLedgers } from "./useLedgers";

// The id of what a form books. It stays while the outcome is unknown, so that sending again never books twice; a refusal uses it up.
function useBookingId(): <T>(book: (id: string) => Promise<T>) => Promise<T> {
  const id = useRef(newId());
  return async (book) => {
    try {
      return await book(id.current);
    } catch (reason) {
      if (reason instanceof ApiError && reason.status >= 400 && reason.status < 500) id.current = newId();
      throw reason;
    }
  };
}

const whole = (text: string, most: number, what: string): number => {
  const value = Number(text);
  if (!/^\d+$/.test(text.trim()) || value < 1 || value > most) throw new Error(`${what} must be a whole number from 1 to ${most}.`);
  return value;
};

function LedgerField({ value, set }: { value: string; set: (value: string) => void }) {
  const known = listOf(useLedgers(), false);
  return (
    <label className="field">
      Ledger
      <input
        className="input"
        name="ledger"
        inputMode="numeric"
        required
        list="ledgers-known"
        autoComplete="off"
        value={value}
        onChange={(event) => set(event.target.value)}
      />
      <datalist id="ledgers-known">
        {known.map((one) => (
          <option key={one.ledger} value={one.ledger}>
            {ledgerTitle(one)}
          </option>
        ))}
      </datalist>
      <span className="hint">A number for the asset, such as 840 for US dollars. Transfers stay inside one ledger.</span>
    </label>
  );
}

// As the JSON face calls them, by flag.
const LIMITS: Record<number, string> = { 0: "none", 2: "debits_must_not_exceed_credits", 4: "credits_must_not_exceed_debits" };

export function MakeAccount({ close, made }: { close: () => void; made: (id: string) => void }) {
  const known = listOf(useLedgers(), false);
  const [id] = useState(newId);
  const [own, setOwn] = useState("");
  const [ledger, setLedger] = useState(String(known[0]?.ledger ?? 840));
  const [code, setCode] = useState("2");
  const [limit, setLimit] = useState(0);
  const [history, setHistory] = useState(false);
  const [name, setName] = useState("");
  const [asset, setAsset] = useState("");
  const [scale, setScale] = useState("2");
  const nameless = known.every((one) => String(one.ledger) !== ledger.trim() || !one.asset);
  const act = async (): Promise<void> => {
    if (own && !/^\d+$/.test(own)) throw new Error("The id must be decimal digits.");
    const number = whole(ledger, 4294967295, "The ledger");
    const kind = whole(code, 65535, "The code");
    if (nameless && asset.trim()) {
      if (!/^\d+$/.test(scale) || Number(scale) > 30) throw new Error("The digits behind the point are a number from 0 to 30.");
      await api.nameLedger(number, asset.trim(), Number(scale));
    }
    const booked = name.trim()
      ? await api.makeNamedAccount({ name: name.trim(), ...(own && { id: own }), ledger: number, code: kind, limit: LIMITS[limit] ?? "none", history })
      : await api.makeAccount({ id: own || id, ledger: number, code: kind, flags: limit | (history ? 8 : 0) });
    close();
    made(booked.id);
  };
  return (
    <FormDialog title="Make an account" verb="Make account" close={close} act={act}>
      <label className="field">
        Name
        <input className="input" name="name" maxLength={128} autoComplete="off" value={name} onChange={(event) => setName(event.target.value)} />
        <span className="hint">Left empty, the account is known by its id alone.</span>
      </label>
      <LedgerField value={ledger} set={setLedger} />
      {nameless && (
        <div className="ledger-pair">
          <label className="field">
            Asset
            <input className="input" name="asset" maxLength={24} placeholder="USD" autoComplete="off" value={asset} onChange={(event) => setAsset(event.target.value)} />
          </label>
          <label className="field">
            Digits behind the point
            <input className="input" name="scale" inputMode="numeric" value={scale} onChange={(event) => setScale(event.target.value.trim())} />
          </label>
          <p className="hint soft">This ledger has no name yet. With one, amounts are read as 12.50 instead of 1250; it cannot be changed later.</p>
        </div>
      )}
      <label className="field">
        Code
        <input className="input" name="code" inputMode="numeric" required value={code} onChange={(event) => setCode(event.target.value)} />
        <span className="hint">The kind of account: 1 asset, 2 liability, 3 equity, 4 income, 5 expense, or a number of your own.</span>
      </label>
      <label className="field">
        Limit
        <select className="input" value={limit} onChange={(event) => setLimit(Number(event.target.value))}>
          <option value={0}>none</option>
          <option value={2}>debits must not exceed credits (it cannot owe)</option>
          <option value={4}>credits must not exceed debits</option>
        </select>
      </label>
      <label className="ledger-check">
        <input type="checkbox" checked={history} onChange={(event) => setHistory(event.target.checked)} /> Keep the balance after each transfer
      </label>
      <label className="field">
        Id
        <input className="input mono" name="id" placeholder={id} inputMode="numeric" autoComplete="off" value={own} onChange={(event) => setOwn(event.target.value.trim())} />
        <span className="hint">Left empty, a new one is taken.</span>
      </label>
    </FormDialog>
  );
}

interface PostTransferProps {
  close: () => void;
  done: () => void;
  debit?: string;
}

export function PostTransfer({ close, done, debit: first }: PostTransferProps) {
  const ledgers = useLedgers();
  const withId = useBookingId();
  const [debit, setDebit] = useState(first ?? "");
  const [credit, setCredit] = useState("");
  const [ledger, setLedger] = useState<number>();
  const [amount, setAmount] = useState("");
  const [code, setCode] = useState("1");
  const [pending, setPending] = useState(false);
  const [timeout, setTimeoutText] = useState("");
  const asset = assetOf(ledgers, ledger ?? 0);
  const act = async (): Promise<void> => {
    if (!debit || !credit) throw new Error("Choose the account to debit and the account to credit.");
    if (!ledger) throw new Error("Choose an account that exists: its ledger is the transfer's.");
    if (timeout && !pending) throw new Error("Only a pending transfer has a timeout.");
    const transfer = {
      debit_account_id: debit,
      credit_account_id: credit,
      amount: parseAmount(amount, asset.scale),
      ledger,
      code: whole(code, 65535, "The code"),
      flags: pending ? PENDING : 0,
      ...(timeout && { timeout: whole(timeout, 4294967295, "The timeout") }),
    };
    await withId((id) => api.makeTransfer({ id, ...transfer }));
    close();
    done();
  };
  return (
    <FormDialog title="Post a transfer" verb={pending ? "Reserve" : "Post transfer"} close={close} act={act}>
      <AccountPicker label="Debit" value={debit} set={setDebit} ledger={undefined} found={(one) => setLedger(one.ledger)} />
      <AccountPicker label="Credit" value={credit} set={setCredit} ledger={ledger} />
      <label className="field">
        Amount {asset.asset && `in ${asset.asset}`}
        <input className="input" name="amount" inputMode="decimal" required autoComplete="off" value={amount} onChange={(event) => setAmount(event.target.value)} />
        <span className="hint">
          {asset.asset ? `With at most ${asset.scale} digits behind the point.` : "In the smallest unit of the ledger's asset."}
        </span>
      </label>
      <label className="field">
        Code
        <input className="input" name="code" inputMode="numeric" required value={code} onChange={(event) => setCode(event.target.value)} />
        <span className="hint">The kind of transfer, a number of your own.</span>
      </label>
      <label className="ledger-check">
        <input type="checkbox" checked={pending} onChange={(event) => setPending(event.target.checked)} /> Pending: reserve it now, post or void it later
      </label>
      {pending && (
        <label className="field">
          Timeout in seconds
          <input className="input" name="timeout" inputMode="numeric" value={timeout} onChange={(event) => setTimeoutText(event.target.value)} />
          <span className="hint">Left empty, it waits for ever.</span>
        </label>
      )}
    </FormDialog>
  );
}

interface FinishProps {
  transfer: Transfer;
  how: "post" | "void";
  asset: Asset;
  close: () => void;
  done: () => void;
}

export function FinishTransfer({ transfer, how, asset, close, done }: FinishProps) {
  const withId = useBookingId();
  const [amount, setAmount] = useState("");
  const act = async (): Promise<void> => {
    const part = how === "post" && amount ? { amount: parseAmount(amount, asset.scale) } : {};
    await withId((id) => api.finishTransfer(transfer.id, how, { id, ...part }));
    close();
    done();
  };
  const reserved = money(transfer.amount, asset);
  return (
    <FormDialog title={how === "post" ? "Post the pending transfer" : "Void the pending transfer"} verb={how === "post" ? "Post it" : "Void it"} close={close} act={act}>
      <p>
        {how === "post" ? "Books what was reserved" : "Gives back what was reserved"}: <b className="number">{reserved}</b> of transfer{" "}
        <span className="mono">{transfer.id}</span>. This cannot be undone; a correction is a transfer the other way.
      </p>
      {how === "post" && (
        <label className="field">
          Amount
          <input className="input" name="amount" inputMode="decimal" placeholder={reserved} autoComplete="off" value={amount} onChange={(event) => setAmount(event.target.value)} />
          <span className="hint">Left empty, all of it. Less gives the rest back.</span>
        </label>
      )}
    </FormDialog>
  );
}

export function BookButtons({ done, debit }: { done?: () => void; debit?: string }) {
  const [open, setOpen] = useState<"account" | "transfer">();
  const close = (): void => setOpen(undefined);
  return (
    <>
      <button type="button" className="button primary" onClick={() => setOpen("transfer")}>
        <Icon name="plus" /> Post a transfer
      </button>
      {!debit && (
        <button type="button" className="button" onClick={() => setOpen("account")}>
          <Icon name="plus" /> Make an account
        </button>
      )}
      {open === "account" && <MakeAccount close={close} made={(id) => navigate(address("/ledger/accounts", { id }))} />}
      {open === "transfer" && <PostTransfer close={close} done={() => done?.()} {...(debit && { debit })} />}
    </>
  );
}
