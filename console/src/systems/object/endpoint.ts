// Where S3 clients find this polis: the host of this page with the port of the S3 listener.
import { usePort } from "../../app/usePort";

export function useS3Endpoint(): string {
  return `http://${location.hostname}:${usePort("object", "s3", 9000)}`;
}
