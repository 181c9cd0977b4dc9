// Adds one step to a sequence, and repeats the call by the service's rule for callers until it is
// settled. createStep and what it needs are there to be copied into a code base.

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import engagement.v1.CreateSequenceStepRequest;
import engagement.v1.CreateSequenceStepResponse;
import engagement.v1.SequenceStep;
import engagement.v1.SequenceStepServiceGrpc;
import engagement.v1.SequenceStepServiceGrpc.SequenceStepServiceBlockingStub;
import engagement.v1.StepType;
import engagement.v1.Warning;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.MetadataUtils;
import java.time.Duration;
import java.util.EnumSet;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;

public final class CreateStep {
  private static final String DOMAIN = "engagement.v1";

  /** The deadline of each call; it fits every provider. */
  private static final Duration CALL = Duration.ofSeconds(60);

  /** After so long no further call begins. The service may need two minutes for a lost write. */
  private static final Duration SETTLE = Duration.ofSeconds(300);

  private static final Duration FIRST_PAUSE = Duration.ofSeconds(1);
  private static final Duration PAUSE_MAX = Duration.ofSeconds(30);

  /** Also where a shorter wait is asked for, so that nothing spins. */
  private static final Duration PAUSE_MIN = Duration.ofMillis(100);

  private static final Set<Status.Code> REPEATED_WITHOUT_RETRY_INFO =
      EnumSet.of(
          Status.Code.UNAVAILABLE,
          Status.Code.ABORTED,
          Status.Code.RESOURCE_EXHAUSTED,
          Status.Code.INTERNAL);

  private static final Metadata.Key<String> CUSTOMER_ID = key("x-customer-id");
  private static final Metadata.Key<String> PROVIDER_NAME = key("x-provider-name");
  private static final Metadata.Key<String> PUSHBACK_MS = key("grpc-retry-pushback-ms");

  /**
   * There is no answer with a step.
   *
   * <p>isFinal: repeating changes nothing before somebody does what the message says. Otherwise the
   * time is over; the step may be there. Keep the request_id, and call again with it later.
   */
  public static final class StepFailed extends Exception {
    final Failure failure;
    final boolean isFinal;

    StepFailed(Failure failure, boolean isFinal) {
      super(failure.code() + " " + failure.reason() + ": " + failure.message());
      this.failure = failure;
      this.isFinal = isFinal;
    }
  }

  /**
   * What a failed call says.
   *
   * @param reason empty when not the service, but a library or the network ended the call
   * @param fields what is wrong with the request, by the path of the field
   * @param retry after so long the same request may succeed
   */
  record Failure(
      Status.Code code,
      String message,
      String reason,
      Map<String, String> fields,
      Optional<Duration> retry) {

    static Failure of(StatusRuntimeException thrown) {
      String reason = "";
      Map<String, String> fields = new TreeMap<>();
      Optional<Duration> retry = pushback(thrown.getTrailers());
      try {
        for (Any detail : StatusProto.fromThrowable(thrown).getDetailsList()) {
          if (detail.is(ErrorInfo.class)) {
            ErrorInfo info = detail.unpack(ErrorInfo.class);
            if (info.getDomain().equals(DOMAIN)) reason = info.getReason();
          } else if (detail.is(BadRequest.class)) {
            for (var each : detail.unpack(BadRequest.class).getFieldViolationsList()) {
              fields.put(each.getField(), each.getDescription());
            }
          } else if (detail.is(RetryInfo.class)) {
            var delay = detail.unpack(RetryInfo.class).getRetryDelay();
            retry = Optional.of(Duration.ofSeconds(delay.getSeconds(), delay.getNanos()));
          }
        }
      } catch (InvalidProtocolBufferException broken) {
        // As if there were no details: the call is repeated.
      }
      Status status = thrown.getStatus();
      String message = Optional.ofNullable(status.getDescription()).orElse("");
      return new Failure(status.getCode(), message, reason, fields, retry);
    }

    // It says the same to libraries as RetryInfo. Here it counts when the details were lost on the
    // way; -1 forbids a repeat to the library alone.
    private static Optional<Duration> pushback(Metadata trailers) {
      String ms = trailers == null ? null : trailers.get(PUSHBACK_MS);
      if (ms == null || !ms.matches("[0-9]{1,9}")) return Optional.empty();
      return Optional.of(Duration.ofMillis(Long.parseLong(ms)));
    }

    /** A library refused the message: nothing was written, and nothing else can come of it. */
    boolean isTooBig() {
      return reason.isEmpty()
          && code == Status.Code.RESOURCE_EXHAUSTED
          && message.contains("larger than max");
    }
  }

  /**
   * Adds one step.
   *
   * <p>The request's request_id is a UUID that was stored before this, with whatever the step is
   * for: who comes back after a crash finds it there, and calls again with the same request.
   */
  public static CreateSequenceStepResponse createStep(
      SequenceStepServiceBlockingStub stub,
      CreateSequenceStepRequest request,
      String customerId,
      String providerName)
      throws StepFailed, InterruptedException {
    if (request.getRequestId().isEmpty()) {
      throw new IllegalArgumentException("without a request_id a call cannot be repeated");
    }
    Metadata headers = new Metadata();
    headers.put(CUSTOMER_ID, customerId);
    headers.put(PROVIDER_NAME, providerName);
    var tenant = stub.withInterceptors(MetadataUtils.newAttachHeadersInterceptor(headers));
    long giveUpAt = System.nanoTime() + SETTLE.toNanos();
    for (int repeats = 0; ; repeats++) {
      Duration pause;
      try {
        return tenant
            .withDeadlineAfter(CALL.toMillis(), TimeUnit.MILLISECONDS)
            .createSequenceStep(request);
      } catch (StatusRuntimeException thrown) {
        Failure failure = Failure.of(thrown);
        pause = pauseBeforeRepeat(failure, repeats).orElse(null);
        if (pause == null) throw new StepFailed(failure, true);
        boolean isLate = System.nanoTime() + pause.toNanos() - giveUpAt > 0;
        if (isLate) throw new StepFailed(failure, false);
      }
      Thread.sleep(pause.toMillis());
    }
  }

  /** Returns how long to wait before the same request is sent again; empty: not at all. */
  static Optional<Duration> pauseBeforeRepeat(Failure failure, int repeats) {
    if (failure.isTooBig()) return Optional.empty();
    if (failure.retry().isPresent()) {
      Duration asked = failure.retry().get();
      Duration pause = asked.compareTo(PAUSE_MIN) < 0 ? PAUSE_MIN : asked;
      return Optional.of(times(pause, 1.0, 1.25)); // So that not all come at once.
    }
    if (failure.reason().isEmpty() || REPEATED_WITHOUT_RETRY_INFO.contains(failure.code())) {
      Duration pause = FIRST_PAUSE.multipliedBy(1L << Math.min(repeats, 5));
      return Optional.of(times(pause.compareTo(PAUSE_MAX) > 0 ? PAUSE_MAX : pause, 0.5, 1.0));
    }
    return Optional.empty();
  }

  private static Duration times(Duration pause, double least, double most) {
    double factor = ThreadLocalRandom.current().nextDouble(least, most);
    return Duration.ofMillis((long) Math.ceil(pause.toMillis() * factor));
  }

  private static Metadata.Key<String> key(String name) {
    return Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER);
  }

  /** Arguments: address, customer, provider, request_id, sequence, note. */
  public static void main(String[] arguments) throws InterruptedException {
    ManagedChannel channel =
        ManagedChannelBuilder.forTarget(arguments[0])
            .usePlaintext()
            .defaultLoadBalancingPolicy("round_robin")
            .keepAliveTime(30, TimeUnit.SECONDS)
            .build();
    var request =
        CreateSequenceStepRequest.newBuilder()
            .setRequestId(arguments[3])
            .setSequenceId(arguments[4])
            .setStep(
                SequenceStep.newBuilder()
                    .setType(StepType.STEP_TYPE_TASK)
                    .setTaskNote(arguments[5]))
            .build();
    try {
      var stub = SequenceStepServiceGrpc.newBlockingStub(channel);
      var answer = createStep(stub, request, arguments[1], arguments[2]);
      System.out.println(answer.getId());
      for (Warning each : answer.getWarningsList()) {
        System.out.println(each.getProblemType() + " " + each.getField() + ": " + each.getDetail());
      }
    } catch (StepFailed failed) {
      System.err.println(failed.getMessage());
      System.exit(1);
    } finally {
      channel.shutdownNow();
    }
  }
}
