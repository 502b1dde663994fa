import { useEffect, useId, useState, type KeyboardEvent } from "react";
import { Dialog } from "../parts/Dialog";
import type { SearchHit } from "../parts/search";
import { navigate } from "./router";
import { searchEverything } from "./search";

export function SearchDialog({ close }: { close: () => void }) {
  const [text, setText] = useState("");
  const [hits, setHits] = useState<SearchHit[]>([]);
  const [chosen, setChosen] = useState(0);
  const list = useId();
  useEffect(() => {
    let current = true;
    searchEverything(text).then((found) => {
      if (!current) return;
      setHits(found);
      setChosen(0);
    });
    return () => {
      current = false;
    };
  }, [text]);
  const go = (hit: SearchHit | undefined): void => {
    if (!hit) return;
    close();
    navigate(hit.to);
  };
  const onKey = (event: KeyboardEvent): void => {
    if (event.key === "Enter") go(hits[chosen]);
    else if (event.key === "ArrowDown") setChosen((at) => Math.min(hits.length - 1, at + 1));
    else if (event.key === "ArrowUp") setChosen((at) => Math.max(0, at - 1));
    else return;
    event.preventDefault();
  };
  return (
    <Dialog title="Search" close={close}>
      <input
        className="input"
        autoFocus
        role="combobox"
        aria-expanded="true"
        aria-controls={list}
        aria-activedescendant={hits[chosen] ? `${list}-${chosen}` : undefined}
        aria-label="Search pages, buckets and keys"
        placeholder="A page, a bucket, or bucket/key…"
        value={text}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={onKey}
      />
      <div className="search-results" id={list} role="listbox" aria-label="Results">
        {hits.map((hit, index) => (
          <div
            key={`${hit.kind} ${hit.to}`}
            id={`${list}-${index}`}
            role="option"
            aria-selected={index === chosen}
            onMouseMove={() => setChosen(index)}
            onClick={() => go(hit)}
          >
            <span className="kind">{hit.kind}</span>
            <span>{hit.title}</span>
          </div>
        ))}
        {hits.length === 0 && <p className="soft">Nothing by that name. Keys are found by bucket/prefix.</p>}
      </div>
    </Dialog>
  );
}
