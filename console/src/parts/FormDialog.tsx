// A dialog with a form: its fields, what was refused above them, one verb below. `act` throws what the dialog shall say, and closes it
// itself when it is done.
import { useState, type FormEvent, type ReactNode } from "react";
import { Dialog } from "./Dialog";
import { ErrorNote } from "./Note";

interface FormDialogProps {
  title: string;
  verb: string;
  close: () => void;
  act: () => Promise<void>;
  // More buttons, before Cancel.
  more?: (work: (act: () => Promise<void>) => void, working: boolean) => ReactNode;
  children: ReactNode;
}

export function FormDialog({ title, verb, close, act, more, children }: FormDialogProps) {
  const [error, setError] = useState<unknown>();
  const [working, setWorking] = useState(false);
  const work = async (what: () => Promise<void>): Promise<void> => {
    setError(undefined);
    setWorking(true);
    try {
      await what();
    } catch (reason) {
      setError(reason);
    } finally {
      setWorking(false);
    }
  };
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    void work(act);
  };
  return (
    <Dialog title={title} close={close}>
      <form onSubmit={submit} className="form">
        <ErrorNote error={error} />
        {children}
        <div className="form-foot">
          {more?.((what) => void work(what), working)}
          <button type="button" className="button" onClick={close}>
            Cancel
          </button>
          <button type="submit" className="button primary" disabled={working}>
            {working ? "Working …" : verb}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
