import { useEffect, useState } from "react";
import { duration } from "../parts/format";
import { live, useConnection } from "../parts/live";
import { Note } from "../parts/Note";
import { Time } from "../parts/Time";

// Says that what is shown has stopped moving, and since when.
export function LiveBanner() {
  const connection = useConnection();
  const lost = connection.state === "lost";
  const [, tick] = useState(0);
  useEffect(() => {
    if (!lost) return;
    const timer = setInterval(() => tick((value) => value + 1), 1000);
    return () => clearInterval(timer);
  }, [lost]);
  if (connection.state !== "lost") return null;
  const age = Math.max(0, (Date.now() - connection.since.getTime()) / 1000);
  return (
    <div className="live-lost" data-testid="live-banner">
      <Note
        kind="warn"
        action={
          <button type="button" className="button small" onClick={() => live.retryNow()}>
            Connect now
          </button>
        }
      >
        No live data since <Time at={connection.since} /> ({duration(Math.floor(age))}). What you see is from then; the page keeps trying
        to connect.
      </Note>
    </div>
  );
}
