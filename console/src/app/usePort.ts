// The port on which clients find a system; its usual one until the status has come.
import { status } from "./api";
import { useLoad } from "./useLoad";

export function usePort(system: string, port: string, usual: number): number {
  const loaded = useLoad(status, []);
  return loaded.value?.systems.find((one) => one.name === system)?.ports[port] ?? usual;
}
