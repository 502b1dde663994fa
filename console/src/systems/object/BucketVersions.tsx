// The versions of every key below a prefix over one time axis: what changed when, what is deleted, what is kept.
import { useState } from "react";
import { Link, address, navigate } from "../../app/router";
import { usePages } from "../../app/usePages";
import { Empty } from "../../parts/Empty";
import { plural } from "../../parts/format";
import { ErrorNote, Waiting } from "../../parts/Note";
import type { Scale } from "./timeline";
import { keysOf } from "./timeline";
import { listVersions, type VersionPage } from "./versions";
import { ScaleSwitch, VersionTimeline } from "./VersionTimeline";

// What one look fetches; a screen of lanes.
const VERSIONS_A_PAGE = 200;

export function BucketVersions({ bucket, prefix }: { bucket: string; prefix: string }) {
  const [scale, setScale] = useState<Scale>("time");
  const { rows: versions, error, more } = usePages(
    async (from: VersionPage["next"]) => {
      const page = await listVersions(bucket, prefix, from, VERSIONS_A_PAGE);
      return { rows: page.versions, ...(page.next && { next: page.next }) };
    },
    [bucket, prefix],
  );
  const keys = versions ? keysOf(versions).size : 0;
  return (
    <section className="card" aria-label="Versions over time">
      <div className="card-head">
        <h2>Versions over time</h2>
        {versions && versions.length > 0 && (
          <span className="soft">
            {plural(versions.length, "version")} of {plural(keys, "key")}
            {prefix && ` below ${prefix}`}
          </span>
        )}
        <div className="aside">{versions && versions.length > 1 && <ScaleSwitch scale={scale} set={setScale} />}</div>
      </div>
      <ErrorNote error={error} />
      {!versions && !error && <Waiting />}
      {versions?.length === 0 && (
        <Empty title="Nothing here yet">
          <p>
            Upload something in <Link to={address("/object/buckets", { bucket })}>Objects</Link>. With versioning on (see{" "}
            <Link to={address("/object/buckets", { bucket, view: "settings" })}>Settings</Link>) every change is kept, and drawn here.
          </p>
        </Empty>
      )}
      {versions && versions.length > 0 && (
        <div className="card-body">
          <VersionTimeline
            versions={versions}
            scale={scale}
            name={(key) => <Link to={address("/object/buckets", { bucket, key })}>{key.slice(prefix.length) || key}</Link>}
            choose={(version) => navigate(address("/object/buckets", { bucket, key: version.key }))}
          />
        </div>
      )}
      {more && (
        <div className="card-body">
          <button type="button" className="button" onClick={more}>
            Show more
          </button>
        </div>
      )}
    </section>
  );
}
