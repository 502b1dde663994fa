// Who is here: asks for the session, shows the sign-in page without one, the shell with one.
import { useCallback, useEffect, useState } from "react";
import { live, whenLiveRefused } from "../parts/live";
import { ErrorNote, Waiting } from "../parts/Note";
import { ApiError, session as askSession, whenSignedOut, type Session } from "./api";
import { Shell } from "./Shell";
import { SignIn } from "./SignIn";

type State = { is: "asking" } | { is: "out" } | { is: "in"; session: Session } | { is: "unreachable"; error: unknown };

export function App() {
  const [state, setState] = useState<State>({ is: "asking" });
  const ask = useCallback(async () => {
    try {
      setState({ is: "in", session: await askSession() });
    } catch (error) {
      const out = error instanceof ApiError && (error.status === 401 || error.status === 403);
      setState(out ? { is: "out" } : { is: "unreachable", error });
    }
  }, []);
  useEffect(() => {
    void ask();
  }, [ask]);
  useEffect(() => {
    whenSignedOut(() => setState({ is: "out" }));
    // A live connection that is refused may mean that the session ended; that polis is down shows as the banner instead.
    whenLiveRefused(() => {
      askSession().catch((error) => {
        if (error instanceof ApiError && error.status === 401) setState({ is: "out" });
      });
    });
  }, []);
  const signedIn = state.is === "in";
  useEffect(() => {
    if (!signedIn) return;
    live.start();
    return () => live.stop();
  }, [signedIn]);

  if (state.is === "asking") return <Waiting what="Asking polis who you are" />;
  if (state.is === "unreachable")
    return (
      <div className="content">
        <ErrorNote error={state.error} retry={ask} />
      </div>
    );
  if (state.is === "out") return <SignIn done={ask} />;
  return <Shell session={state.session} signedOut={() => setState({ is: "out" })} />;
}
