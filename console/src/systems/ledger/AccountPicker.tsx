// An account by id or by a part of its name: what is typed is looked for, what is found can be chosen with mouse or keyboard.
import { useEffect, useId, useState, type KeyboardEvent } from "react";
import { shortId } from "./amounts";
import { accounts, type Account } from "./api";

interface AccountPickerProps {
  label: string;
  value: string;
  set: (id: string) => void;
  // Only accounts of this ledger.
  ledger: number | undefined;
  found?: (account: Account) => void;
}

export function AccountPicker({ label, value, set, ledger, found }: AccountPickerProps) {
  const [text, setText] = useState(value);
  const [hits, setHits] = useState<Account[]>([]);
  const [open, setOpen] = useState(false);
  const [at, setAt] = useState(0);
  const [chosen, setChosen] = useState<Account>();
  const list = useId();
  useEffect(() => {
    let current = true;
    const timer = setTimeout(() => {
      accounts({ q: text.trim(), limit: 8, ...(ledger !== undefined && { ledger }) }).then(
        (page) => {
          if (!current) return;
          const shown = page.accounts.slice(0, 8);
          setHits(shown);
          setAt(0);
          const exact = shown.find((one) => one.id === text.trim() || (one.name !== "" && one.name === text.trim()));
          if (exact) choose(exact, false);
        },
        () => current && setHits([]),
      );
    }, 120);
    return () => {
      current = false;
      clearTimeout(timer);
    };
    // `choose` is a fresh closure at every render.
  }, [text, ledger]);
  function choose(account: Account, close = true): void {
    setChosen(account);
    set(account.id);
    found?.(account);
    if (!close) return;
    setText(account.name || account.id);
    setOpen(false);
  }
  const onKey = (event: KeyboardEvent): void => {
    const hit = hits[at];
    if (event.key === "ArrowDown") setAt(Math.min(hits.length - 1, at + 1));
    else if (event.key === "ArrowUp") setAt(Math.max(0, at - 1));
    else if (event.key === "Enter" && open && hit) choose(hit);
    else if (event.key === "Escape" && open) setOpen(false);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <label className="field picker">
      {label}
      <input
        className="input"
        role="combobox"
        aria-expanded={open && hits.length > 0}
        aria-controls={list}
        aria-autocomplete="list"
        autoComplete="off"
        required
        value={text}
        placeholder="id or name"
        onFocus={() => setOpen(true)}
        onBlur={() => setTimeout(() => setOpen(false), 150)}
        onKeyDown={onKey}
        onChange={(event) => {
          setText(event.target.value);
          // Digits may be an account that only the server knows; it says so if it does not.
          set(/^\d+$/.test(event.target.value.trim()) ? event.target.value.trim() : "");
          setChosen(undefined);
          setOpen(true);
        }}
      />
      {open && hits.length > 0 && (
        <ul className="picker-list" id={list} role="listbox" aria-label={`Accounts to ${label.toLowerCase()}`}>
          {hits.map((one, index) => (
            <li
              key={one.id}
              role="option"
              aria-selected={index === at}
              onMouseDown={(event) => {
                event.preventDefault();
                choose(one);
              }}
            >
              <span>{one.name || shortId(one.id)}</span>
              <span className="soft">
                {one.name && `${shortId(one.id)}, `}ledger {one.ledger}
              </span>
            </li>
          ))}
        </ul>
      )}
      {chosen && (
        <span className="hint">
          {chosen.name && `${chosen.name}, `}id <span className="mono">{chosen.id}</span>, ledger {chosen.ledger}
        </span>
      )}
    </label>
  );
}
