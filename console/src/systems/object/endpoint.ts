// Where S3 clients find this polis: the host of this page with the port of the S3 listener.
import { status } from "../../app/api";
import { useLoad } from "../../app/useLoad";

export function s3Endpoint(port: number): string {
  return `http://${location.hostname}:${port}`;
}

export function useS3Endpoint(): string {
  const loaded = useLoad(status, []);
  const port = loaded.value?.systems.find((system) => system.name === "object")?.ports["s3"];
  return s3Endpoint(port ?? 9000);
}
