// The API that all systems share: requests with the session's cookie, errors as problem documents (RFC 9457), plans, status.

export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

// The sign-in page shows when any request finds that the session has ended.
type Listener = () => void;
let onSignedOut: Listener = () => {};
export function whenSignedOut(listener: Listener): void {
  onSignedOut = listener;
}

async function problemOf(response: Response): Promise<ApiError> {
  const text = await response.text().catch(() => "");
  let code = "";
  let message = "";
  try {
    const problem = JSON.parse(text) as { code?: string; detail?: string; title?: string; message?: string };
    code = problem.code ?? "";
    message = problem.detail || problem.message || problem.title || "";
  } catch {
    // S3 answers in XML, which its client reads (systems/object/s3.ts).
    message = text.length < 300 || (text.startsWith("<?xml") && text.length < 20_000) ? text : "";
  }
  return new ApiError(response.status, code, message || `polis answered ${response.status} ${response.statusText}`);
}

export async function send(path: string, init: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, { credentials: "same-origin", cache: "no-store", ...init });
  } catch (reason) {
    if (init.signal?.aborted) throw reason;
    throw new ApiError(0, "unavailable", "polis does not answer. Is it running? Look with: polis status");
  }
  if (response.ok) return response;
  const problem = await problemOf(response);
  if (problem.status === 401 && !path.startsWith("/api/auth/v1/session")) onSignedOut();
  throw problem;
}

export async function request<T>(method: string, path: string, body?: unknown): Promise<T> {
  const init: RequestInit = { method };
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers = { "content-type": "application/json" };
  }
  const response = await send(path, init);
  return (await response.json()) as T;
}

export const get = <T>(path: string): Promise<T> => request<T>("GET", path);
export const post = <T>(path: string, body?: unknown): Promise<T> => request<T>("POST", path, body);

// --- plans

export interface Plan {
  id: string;
  title: string;
  touches: string[];
  touched_count: number;
  touched_bytes: number;
  expires_at: string;
}

export const applyPlan = (id: string): Promise<unknown> => post(`/api/plan/v1/${encodeURIComponent(id)}`);

// --- session

export interface Session {
  user: string;
  arn: string;
  account: string;
  root: boolean;
  administrator: boolean;
  credential: string;
}

export const session = (): Promise<Session> => get("/api/auth/v1/session");
export const signIn = (user: string, password: string): Promise<unknown> => post("/api/auth/v1/session", { user, password });
export const signOut = (): Promise<unknown> => request("DELETE", "/api/auth/v1/session");

// --- status

export interface SystemStatus {
  name: string;
  summary: string;
  state: "healthy" | "degraded" | "failed";
  message?: string;
  since?: string;
  ports: Record<string, number>;
  page: { id: string; title: string; group: string };
}

export interface Status {
  version: string;
  pid: number;
  data_directory: string;
  started_at: string;
  uptime_s: number;
  systems: SystemStatus[];
}

export const status = (): Promise<Status> => get("/api/polis/v1/status");

// The live topic "polis.home".
export interface HomeSample {
  systems: Record<string, { state: "healthy" | "degraded" | "failed"; message?: string; since?: string }>;
  counters: Record<string, number>;
  gauges: Record<string, number>;
}
