// What a failed call says: its code, and the typed details that the service sends with it.

import { durationMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";

import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../generated/google/rpc/error_details_pb.js";

const DOMAIN = "engagement.v1";

export interface Failure {
  readonly code: Code;
  readonly message: string;
  /** Empty when not the service, but a library or the network ended the call. */
  readonly reason: string;
  /** Of the ErrorInfo: `requestId`, `stepId`, `errorId` and others. */
  readonly metadata: Readonly<Record<string, string>>;
  /** What is wrong with the request, by the path of the field. */
  readonly fields: Readonly<Record<string, string>>;
  /** After so long the same request may succeed. */
  readonly retryMs: number | undefined;
}

/** Reads what a call has thrown. */
export function failureOf(thrown: unknown): Failure {
  const error = ConnectError.from(thrown);
  const info = error.findDetails(ErrorInfoSchema).find((each) => each.domain === DOMAIN);
  const violations = error.findDetails(BadRequestSchema).flatMap((each) => each.fieldViolations);
  return {
    code: error.code,
    message: error.rawMessage,
    reason: info?.reason ?? "",
    metadata: info?.metadata ?? {},
    fields: Object.fromEntries(violations.map((each) => [each.field, each.description])),
    retryMs: retryMs(error),
  };
}

// `grpc-retry-pushback-ms` says the same to libraries. Here it counts when the details were lost on
// the way; -1 forbids a repeat to the library alone.
function retryMs(error: ConnectError): number | undefined {
  const delay = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
  if (delay !== undefined) return durationMs(delay);
  const pushback = error.metadata.get("grpc-retry-pushback-ms") ?? "";
  return /^[0-9]+$/.test(pushback) ? Number(pushback) : undefined;
}
