// Adds one step, and repeats the call by the service's rule for callers until it is settled.

import { setTimeout } from "node:timers/promises";

import { Code, type Client } from "@connectrpc/connect";

import type {
  CreateSequenceStepRequest,
  CreateSequenceStepResponse,
  SequenceStepService,
} from "../generated/engagement/v1/sequence_step_service_pb.js";
import { failureOf, type Failure } from "./failure.js";

/** The deadline of each call; it fits every provider. */
const CALL_MS = 60_000;

/** After so long no further call begins. A lost write may take the service two minutes to settle. */
export const SETTLE_MS = 300_000;

const FIRST_PAUSE_MS = 1_000;
const PAUSE_MS_MAX = 30_000;
/** Also where a shorter wait is asked for, so that nothing spins. */
const PAUSE_MS_MIN = 100;

const REPEATED_WITHOUT_RETRY_INFO: ReadonlySet<Code> = new Set([
  Code.Unavailable,
  Code.Aborted,
  Code.ResourceExhausted,
  Code.Internal,
]);

/**
 * There is no answer with a step.
 *
 * `isFinal`: repeating changes nothing before somebody does what the message says. Otherwise the
 * time is over; the step may be there. Keep the `requestId`, and call again with it later.
 */
export class StepFailed extends Error {
  constructor(
    readonly failure: Failure,
    readonly isFinal: boolean,
  ) {
    super(`${Code[failure.code]} ${failure.reason}: ${failure.message}`);
  }
}

/** For whom the step is, and where. */
export interface Tenant {
  readonly customerId: string;
  readonly providerName: string;
}

/**
 * Adds one step.
 *
 * `request.requestId` is a UUID that was stored before this, with whatever the step is for: who
 * comes back after a crash finds it there, and calls again with the same request.
 *
 * Throws StepFailed when the error is final, or the time is over.
 */
export async function createStep(
  client: Client<typeof SequenceStepService>,
  request: CreateSequenceStepRequest,
  { customerId, providerName }: Tenant,
  settleMs = SETTLE_MS,
): Promise<CreateSequenceStepResponse> {
  if (request.requestId === "") throw new TypeError("without a requestId a call cannot be repeated");
  const headers = { "x-customer-id": customerId, "x-provider-name": providerName };
  const giveUpAt = performance.now() + settleMs;
  for (let repeats = 0; ; repeats++) {
    let pauseMs: number | undefined;
    try {
      return await client.createSequenceStep(request, { headers, timeoutMs: CALL_MS });
    } catch (thrown) {
      const failure = failureOf(thrown);
      pauseMs = pauseBeforeRepeat(failure, repeats);
      if (pauseMs === undefined) throw new StepFailed(failure, true);
      if (performance.now() + pauseMs > giveUpAt) throw new StepFailed(failure, false);
    }
    await setTimeout(pauseMs);
  }
}

/** Returns how long to wait before the same request is sent again; undefined: not at all. */
export function pauseBeforeRepeat(failure: Failure, repeats: number): number | undefined {
  if (failure.reason === "" && isTooBig(failure)) return undefined;
  if (failure.retryMs !== undefined) {
    // Some time is added, so that not all come at once.
    return Math.max(failure.retryMs, PAUSE_MS_MIN) * (1 + Math.random() / 4);
  }
  if (failure.reason === "" || REPEATED_WITHOUT_RETRY_INFO.has(failure.code)) {
    return Math.min(FIRST_PAUSE_MS * 2 ** repeats, PAUSE_MS_MAX) * (1 - Math.random() / 2);
  }
  return undefined;
}

/** A library refused the message: nothing was written, and nothing else can come of it. */
function isTooBig(failure: Failure): boolean {
  return failure.code === Code.ResourceExhausted && failure.message.includes("larger than max");
}
