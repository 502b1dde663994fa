// Users, their access keys, and the audit trail: /api/auth/v1.
import { get, post, request, type Plan } from "../api";

const BASE = "/api/auth/v1";

export interface User {
  name: string;
  id: string;
  account: string;
  display_name: string;
  root: boolean;
  administrator: boolean;
  disabled: boolean;
  password: boolean;
  policies: string[];
  created_at: string;
}
export interface AccessKey {
  id: string;
  description: string;
  active: boolean;
  created_at: string;
}
export interface IssuedKey {
  user: string;
  access_key: string;
  secret_key: string;
}
export interface AuditRecord {
  at: string;
  user: string;
  action: string;
  resource: string;
  outcome: string;
  detail: string;
  peer: string;
  credential: string;
}

const user = (name: string): string => `${BASE}/users/${encodeURIComponent(name)}`;

export const users = (): Promise<User[]> => get(`${BASE}/users`);
export const makeUser = (wanted: { name: string; password?: string; administrator: boolean }): Promise<User> =>
  post(`${BASE}/users`, wanted);
export const planRemoveUser = (name: string): Promise<Plan> => request("DELETE", user(name));
export const setDisabled = (name: string, disabled: boolean): Promise<unknown> => post(`${user(name)}/disabled`, { disabled });
export const keys = (name: string): Promise<AccessKey[]> => get(`${user(name)}/keys`);
export const makeKey = (name: string, description: string): Promise<IssuedKey> => post(`${user(name)}/keys`, { description });
export const setKeyActive = (id: string, active: boolean): Promise<unknown> =>
  post(`${BASE}/keys/${encodeURIComponent(id)}/active`, { active });
export const planRemoveKey = (id: string): Promise<Plan> => request("DELETE", `${BASE}/keys/${encodeURIComponent(id)}`);
export const audit = (): Promise<{ records: AuditRecord[]; next: string }> => get(`${BASE}/audit`);
