// The uploads of this tab: a bar for every part, pause, resume, cancel.
import { useEffect, useState } from "react";
import { bytes, bytesPerSecond, count, duration, percent } from "../../parts/format";
import { Icon } from "../../parts/icons";
import { ErrorNote } from "../../parts/Note";
import { ProgressBar } from "../../parts/ProgressBar";
import { cancel, pause, resume, useUploads, type PartState, type Upload } from "./uploads";

const sentOf = (upload: Upload): number => upload.parts.reduce((sum, part) => sum + Math.min(part.sent, part.to - part.from), 0);

const WORDS: Record<Upload["state"], [string, string]> = {
  starting: ["info", "starting"],
  sending: ["info", "sending"],
  paused: ["warn", "paused"],
  finishing: ["info", "putting together"],
  done: ["good", "done"],
  failed: ["bad", "failed"],
};
const GLYPHS: Record<PartState["state"], string> = { waiting: "·", sending: "↑", stored: "✓", failed: "✕" };
const KINDS: Record<PartState["state"], "good" | "bad" | undefined> = {
  waiting: undefined,
  sending: undefined,
  stored: "good",
  failed: "bad",
};

function Line({ upload }: { upload: Upload }) {
  const sent = sentOf(upload);
  const seconds = Math.max(0.001, ((upload.endedAt ?? Date.now()) - upload.startedAt) / 1000);
  const [kind, word] = WORDS[upload.state];
  const moving = upload.state === "sending" || upload.state === "starting";
  return (
    <div className="upload" data-testid="upload" data-state={upload.state}>
      <div className="upload-head">
        <b>
          {upload.bucket}/{upload.key}
        </b>
        <span className={`chip ${kind}`}>{word}</span>
        <span className="soft number">
          {bytes(sent)} of {bytes(upload.size)}
          {upload.size > 0 && ` (${percent(sent / upload.size)})`}
          {upload.state === "done" && ` in ${duration(seconds)}, ${bytesPerSecond(upload.size / seconds)}`}
          {upload.resumed && ", resumed"}
        </span>
        <div className="aside">
          {moving && (
            <button type="button" className="button small" onClick={() => pause(upload.id)} aria-label={`Pause ${upload.key}`}>
              <Icon name="pause" size={12} /> Pause
            </button>
          )}
          {(upload.state === "paused" || upload.state === "failed") && (
            <button type="button" className="button small" onClick={() => resume(upload.id)} aria-label={`Resume ${upload.key}`}>
              <Icon name="play" size={12} /> Resume
            </button>
          )}
          {upload.state !== "finishing" && (
            <button
              type="button"
              className="button quiet small icon"
              onClick={() => void cancel(upload.id).catch(() => undefined)}
              aria-label={upload.state === "done" ? `Forget ${upload.key}` : `Cancel ${upload.key}`}
            >
              <Icon name="cross" size={12} />
            </button>
          )}
        </div>
      </div>
      <ErrorNote error={upload.error} />
      <div className="parts">
        {upload.parts.map((part) => (
          <div className="part" key={part.number} data-part={part.state}>
            <span>
              {GLYPHS[part.state]} part {count(part.number)}
            </span>
            <ProgressBar done={part.sent} total={part.to - part.from || 1} label={`Part ${part.number}`} {...kindOf(part)} />
          </div>
        ))}
      </div>
    </div>
  );
}

function kindOf(part: PartState): { kind?: "good" | "bad" } {
  const kind = KINDS[part.state];
  return kind ? { kind } : {};
}

export function Uploads() {
  const uploads = useUploads();
  const busy = uploads.some((one) => one.state === "sending" || one.state === "starting");
  const [, tick] = useState(0);
  useEffect(() => {
    if (!busy) return;
    const timer = setInterval(() => tick((value) => value + 1), 500);
    // Closing the tab ends what is under way: say so first.
    const warn = (event: BeforeUnloadEvent): void => event.preventDefault();
    addEventListener("beforeunload", warn);
    return () => {
      clearInterval(timer);
      removeEventListener("beforeunload", warn);
    };
  }, [busy]);
  if (uploads.length === 0) return null;
  return (
    <section className="card" aria-label="Uploads">
      <div className="card-head">
        <h2>Uploads</h2>
        <span className="soft">An upload that was cut short goes on when the same file is chosen again.</span>
      </div>
      {uploads.map((upload) => (
        <Line key={upload.id} upload={upload} />
      ))}
    </section>
  );
}
