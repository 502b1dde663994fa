// One more drive for the pool: its directory is named, the plan says what happens, and only then it is made.
import { useState } from "react";
import { FormDialog } from "../../parts/FormDialog";
import { PlanDialog } from "../../parts/PlanDialog";
import * as api from "./api";

export function AddDrive({ close, done }: { close: () => void; done: () => void }) {
  const [path, setPath] = useState("");
  const [named, setNamed] = useState(false);
  if (named)
    return (
      <PlanDialog
        draft={() => api.planAddDrive(path)}
        verb="Add the drive"
        warning="New bytes go where most room is; what is stored stays where it is. A drive that was added stays part of the pool."
        close={close}
        done={done}
      />
    );
  return (
    <FormDialog title="Add a drive" verb="Go on" close={close} act={async () => setNamed(true)}>
      <label className="field">
        Directory on the machine of polis
        <input className="input mono" autoFocus required pattern="/.+" placeholder="/mnt/g/polis" value={path} onChange={(event) => setPath(event.target.value)} />
        <span className="hint">Absolute, and absent or empty: best a file system of its own.</span>
      </label>
    </FormDialog>
  );
}
