// One bucket: its objects, the versions of all of them, its settings; and one key, when the address names one.
import { Link, address } from "../../app/router";
import { Breadcrumbs } from "./Breadcrumbs";
import { BucketBrowser } from "./BucketBrowser";
import { BucketSettings } from "./BucketSettings";
import { BucketVersions } from "./BucketVersions";
import { ObjectView } from "./ObjectView";

const VIEWS = [
  { view: "", title: "Objects" },
  { view: "versions", title: "Versions" },
  { view: "settings", title: "Settings" },
];

export function BucketPage({ bucket, query }: { bucket: string; query: URLSearchParams }) {
  const key = query.get("key");
  const prefix = query.get("prefix") ?? "";
  const view = query.get("view") ?? "";
  return (
    <>
      <div className="bucket-head">
        <Breadcrumbs bucket={bucket} path={key ?? prefix} />
        {key === null && (
          <nav className="bucket-views" aria-label="Views of the bucket">
            {VIEWS.map((one) => (
              <Link
                key={one.view}
                className={`button small${one.view === view ? " primary" : ""}`}
                to={address("/object/buckets", { bucket, view: one.view, prefix: one.view === "settings" ? "" : prefix })}
                aria-current={one.view === view ? "page" : undefined}
              >
                {one.title}
              </Link>
            ))}
          </nav>
        )}
      </div>
      {key !== null ? (
        <ObjectView key={key} bucket={bucket} objectKey={key} />
      ) : view === "settings" ? (
        <BucketSettings bucket={bucket} />
      ) : view === "versions" ? (
        <BucketVersions key={prefix} bucket={bucket} prefix={prefix} />
      ) : (
        <BucketBrowser bucket={bucket} prefix={prefix} />
      )}
    </>
  );
}
