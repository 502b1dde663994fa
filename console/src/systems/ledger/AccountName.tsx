import { Link, address } from "../../app/router";
import { shortId } from "./amounts";

// The name, or a short form of the id; the whole id on hover.
export function AccountName({ id, name, link = true }: { id: string; name?: string | undefined; link?: boolean }) {
  const text = name ? name : <span className="mono">{shortId(id)}</span>;
  if (!link) return <span title={id}>{text}</span>;
  return (
    <Link to={address("/ledger/accounts", { id })} title={id}>
      {text}
    </Link>
  );
}
