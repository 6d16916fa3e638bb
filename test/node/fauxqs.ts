/** Starts the S3 server that `npm test` uses: every basic operation, but conditional creation is silently ignored. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3";

export const fauxqsCredentials = { accessKeyId: "test", secretAccessKey: "test-secret" };

export interface S3Server {
  readonly endpoint: string;
  readonly bucket: string;
  stop(): Promise<void>;
}

export async function startFauxqs(bucket = "pagefold"): Promise<S3Server> {
  const script = fileURLToPath(new URL("./fauxqs-server.mjs", import.meta.url));
  const server = spawn(process.execPath, ["--no-warnings", script], { stdio: ["pipe", "pipe", "inherit"] });
  const exited = once(server, "exit");
  const ready = once(createInterface(server.stdout), "line") as Promise<[string]>;
  const failed = exited.then(() => Promise.reject(new Error("fauxqs ended before it listened")));
  const [endpoint] = await Promise.race([ready, failed]);
  failed.catch(() => {});
  const client = new S3Client({
    endpoint,
    region: "us-east-1",
    credentials: fauxqsCredentials,
    forcePathStyle: true,
  });
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  client.destroy();
  return {
    endpoint,
    bucket,
    stop: async () => {
      server.stdin.end();
      await exited;
    },
  };
}
