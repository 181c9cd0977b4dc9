// Adds steps from the command line: a request on each line of standard input, as JSON.
//
// Prints a line of JSON for each as it is settled: the answer, with the step's id and warnings, or
// the error. A request without `request_id` gets one, which is told on standard error before the
// first call: keep it, and give it when you run this again. Exit status: 0, or 1 if one failed.

import { randomUUID } from "node:crypto";
import { createInterface } from "node:readline/promises";
import { parseArgs } from "node:util";

import { fromJsonString, toJson } from "@bufbuild/protobuf";
import { Code, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";

import {
  CreateSequenceStepRequestSchema,
  CreateSequenceStepResponseSchema,
  SequenceStepService,
  type CreateSequenceStepRequest,
} from "../generated/engagement/v1/sequence_step_service_pb.js";
import { createStep, SETTLE_MS, StepFailed } from "./createStep.js";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    customer: { type: "string" },
    provider: { type: "string" },
    "at-once": { type: "string", default: "1" },
    "settle-seconds": { type: "string", default: String(SETTLE_MS / 1000) },
  },
});
const [address] = positionals;
if (address === undefined || values.customer === undefined || values.provider === undefined) {
  console.error("usage: main.js ADDRESS --customer ID --provider NAME < requests");
  process.exit(2);
}
const tenant = { customerId: values.customer, providerName: values.provider };

const transport = createGrpcTransport({
  baseUrl: `http://${address}`,
  pingIntervalMs: 30_000, // The service takes no more than one in 10 seconds.
});
const client = createClient(SequenceStepService, transport);
const settleMs = Number(values["settle-seconds"]) * 1000;

async function outcomeOf(request: CreateSequenceStepRequest): Promise<object> {
  try {
    const answer = await createStep(client, request, tenant, settleMs);
    const shown = toJson(CreateSequenceStepResponseSchema, answer, { useProtoFieldName: true });
    return { request_id: request.requestId, answer: shown };
  } catch (thrown) {
    if (!(thrown instanceof StepFailed)) throw thrown;
    const { code, reason, message, fields } = thrown.failure;
    const error = { code: Code[code], reason, message, fields, is_final: thrown.isFinal };
    process.exitCode = 1;
    return { request_id: request.requestId, error };
  }
}

function requestOf(line: string): CreateSequenceStepRequest {
  const request = fromJsonString(CreateSequenceStepRequestSchema, line);
  if (request.requestId === "") {
    request.requestId = randomUUID();
    console.error(`request_id ${request.requestId} for ${line.trim()}`);
  }
  return request;
}

const requests: CreateSequenceStepRequest[] = [];
for await (const line of createInterface({ input: process.stdin })) {
  if (line.trim() !== "") requests.push(requestOf(line));
}
const waiting = requests.values();
async function work(): Promise<void> {
  for (const request of waiting) console.log(JSON.stringify(await outcomeOf(request)));
}
await Promise.all(Array.from({ length: Number(values["at-once"]) }, work));
