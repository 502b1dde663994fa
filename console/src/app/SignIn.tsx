import { useState, type FormEvent } from "react";
import { Command } from "../parts/Command";
import { ErrorNote } from "../parts/Note";
import { signIn } from "./api";

export function SignIn({ done }: { done: () => void }) {
  const [user, setUser] = useState("");
  const [password, setPassword] = useState("");
  const [error, setError] = useState<unknown>();
  const [working, setWorking] = useState(false);
  const submit = async (event: FormEvent): Promise<void> => {
    event.preventDefault();
    setWorking(true);
    setError(undefined);
    try {
      await signIn(user, password);
      done();
    } catch (reason) {
      setError(reason);
      setPassword("");
    } finally {
      setWorking(false);
    }
  };
  return (
    <main className="sign-in">
      <form onSubmit={submit}>
        <div className="brand">
          <img src="/icon.svg" alt="" />
          <h1>Sign in to polis</h1>
        </div>
        <ErrorNote error={error} />
        <label className="field">
          User
          <input
            className="input"
            name="user"
            autoComplete="username"
            autoFocus
            required
            value={user}
            onChange={(event) => setUser(event.target.value)}
          />
        </label>
        <label className="field">
          Password
          <input
            className="input"
            name="password"
            type="password"
            autoComplete="current-password"
            required
            value={password}
            onChange={(event) => setPassword(event.target.value)}
          />
        </label>
        <button type="submit" className="button primary" disabled={working}>
          {working ? "Signing in …" : "Sign in"}
        </button>
        <div className="field">
          <span className="hint">The first start wrote user and password of root into the data directory:</span>
          <Command text="cat ~/.polis/root-credentials.json" />
        </div>
      </form>
    </main>
  );
}
