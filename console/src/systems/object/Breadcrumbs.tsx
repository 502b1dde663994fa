// Where in a bucket this is: every folder on the way, and the key at its end.
import { Link, address } from "../../app/router";

export function Breadcrumbs({ bucket, path }: { bucket: string; path: string }) {
  const steps = path.split("/").filter(Boolean);
  return (
    <nav className="breadcrumbs" aria-label="Where in the bucket">
      <Link to="/object/buckets">Buckets</Link>
      <span aria-hidden="true">/</span>
      <Link to={address("/object/buckets", { bucket })} aria-current={steps.length === 0 ? "page" : undefined}>
        {bucket}
      </Link>
      {steps.map((step, index) => {
        const last = index === steps.length - 1;
        const below = `${steps.slice(0, index + 1).join("/")}/`;
        return (
          <span key={below} className="breadcrumbs">
            <span aria-hidden="true">/</span>
            {last && !path.endsWith("/") ? (
              <span aria-current="page">{step}</span>
            ) : (
              <Link to={address("/object/buckets", { bucket, prefix: below })} aria-current={last ? "page" : undefined}>
                {step}
              </Link>
            )}
          </span>
        );
      })}
    </nav>
  );
}
