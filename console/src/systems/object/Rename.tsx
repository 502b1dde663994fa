// A new name for an object, or for everything below a folder: S3's RenameObject, one transaction either way.
import { useState } from "react";
import { FormDialog } from "../../parts/FormDialog";
import * as s3 from "./s3";

interface RenameProps {
  bucket: string;
  // A folder ends with its slash.
  from: string;
  close: () => void;
  done: (to: string) => void;
}

export function Rename({ bucket, from, close, done }: RenameProps) {
  const folder = from.endsWith("/");
  const [name, setName] = useState(from);
  const act = async (): Promise<void> => {
    const to = folder && !name.endsWith("/") ? `${name}/` : name;
    await s3.rename(bucket, from, to, folder);
    close();
    done(to);
  };
  return (
    <FormDialog title={`Rename ${from}`} verb="Rename" close={close} act={act}>
      <label className="field">
        New name, with its folders
        <input className="input mono" autoFocus required maxLength={1024} value={name} onChange={(event) => setName(event.target.value)} />
        <span className="hint">
          {folder
            ? "Everything below goes along at once, up to 10 000 objects, or nothing if one of the new names is taken."
            : "Its bytes stay where they are; tags, metadata and date go along. What has the new name already is replaced."}
        </span>
      </label>
    </FormDialog>
  );
}
