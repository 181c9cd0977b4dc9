// Command go adds one step to a sequence, and repeats the call by the service's rule for callers
// until it is settled. createStep and what it needs are there to be copied into a code base.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand"
	"os"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	pb "example.com/sequence-step-caller/gen/engagement/v1"
)

const (
	domain = "engagement.v1"

	// callTime is the deadline of each call; it fits every provider.
	callTime = 60 * time.Second
	// settleTime: after so long no further call begins. A lost write may take the service two
	// minutes to settle.
	settleTime = 300 * time.Second

	firstPause = time.Second
	pauseMax   = 30 * time.Second
	// pauseMin: also where a shorter wait is asked for, so that nothing spins.
	pauseMin = 100 * time.Millisecond
)

var repeatedWithoutRetryInfo = map[codes.Code]bool{
	codes.Unavailable:       true,
	codes.Aborted:           true,
	codes.ResourceExhausted: true,
	codes.Internal:          true,
}

// stepFailed says that there is no answer with a step.
//
// isFinal: repeating changes nothing before somebody does what the message says. Otherwise the time
// is over; the step may be there. Keep the request_id, and call again with it later.
type stepFailed struct {
	failure failure
	isFinal bool
}

func (e *stepFailed) Error() string {
	return fmt.Sprintf("%s %s: %s", e.failure.code, e.failure.reason, e.failure.message)
}

// failure is what a failed call says.
type failure struct {
	code    codes.Code
	message string
	// reason is empty when not the service, but a library or the network ended the call.
	reason string
	// fields says what is wrong with the request, by the path of the field.
	fields map[string]string
	// retry: after so long the same request may succeed. nil: nobody says so.
	retry *time.Duration
}

// createStep adds one step. request.RequestId is a UUID that was stored before this, with whatever
// the step is for: who comes back after a crash finds it there, and calls again with the same
// request. The error is a *stepFailed, or that of ctx.
func createStep(
	ctx context.Context,
	client pb.SequenceStepServiceClient,
	request *pb.CreateSequenceStepRequest,
	customerID, providerName string,
) (*pb.CreateSequenceStepResponse, error) {
	if request.GetRequestId() == "" {
		return nil, errors.New("without a request_id a call cannot be repeated")
	}
	ctx = metadata.AppendToOutgoingContext(
		ctx, "x-customer-id", customerID, "x-provider-name", providerName,
	)
	giveUpAt := time.Now().Add(settleTime)
	for repeats := 0; ; repeats++ {
		answer, failed := callOnce(ctx, client, request)
		if failed == nil {
			return answer, nil
		}
		pause, mayHelp := pauseBeforeRepeat(*failed, repeats)
		if !mayHelp {
			return nil, &stepFailed{*failed, true}
		}
		if time.Now().Add(pause).After(giveUpAt) {
			return nil, &stepFailed{*failed, false}
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
		}
	}
}

func callOnce(
	ctx context.Context, client pb.SequenceStepServiceClient, request *pb.CreateSequenceStepRequest,
) (*pb.CreateSequenceStepResponse, *failure) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	var trailer metadata.MD
	answer, err := client.CreateSequenceStep(ctx, request, grpc.Trailer(&trailer))
	if err == nil {
		return answer, nil
	}
	failed := failureOf(status.Convert(err), trailer)
	return nil, &failed
}

func failureOf(said *status.Status, trailer metadata.MD) failure {
	found := failure{code: said.Code(), message: said.Message(), fields: map[string]string{}}
	// It says the same to libraries as RetryInfo. Here it counts when the details were lost on the
	// way; -1 forbids a repeat to the library alone.
	for _, pushback := range trailer.Get("grpc-retry-pushback-ms") {
		if ms, err := strconv.ParseUint(pushback, 10, 31); err == nil {
			wait := time.Duration(ms) * time.Millisecond
			found.retry = &wait
		}
	}
	for _, detail := range said.Details() {
		switch it := detail.(type) {
		case *errdetails.ErrorInfo:
			if it.GetDomain() == domain {
				found.reason = it.GetReason()
			}
		case *errdetails.BadRequest:
			for _, each := range it.GetFieldViolations() {
				found.fields[each.GetField()] = each.GetDescription()
			}
		case *errdetails.RetryInfo:
			delay := it.GetRetryDelay()
			wait := time.Duration(delay.GetSeconds())*time.Second + time.Duration(delay.GetNanos())
			found.retry = &wait
		}
	}
	return found
}

// pauseBeforeRepeat returns how long to wait before the same request is sent again, and whether
// that may help at all.
func pauseBeforeRepeat(failed failure, repeats int) (time.Duration, bool) {
	if failed.reason == "" && isTooBig(failed) {
		return 0, false
	}
	if failed.retry != nil {
		pause := *failed.retry
		if pause < pauseMin {
			pause = pauseMin
		}
		// Some time is added, so that not all come at once.
		return time.Duration(float64(pause) * (1 + rand.Float64()/4)), true
	}
	if failed.reason == "" || repeatedWithoutRetryInfo[failed.code] {
		pause := pauseMax
		if repeats < 5 {
			pause = firstPause << repeats
		}
		if pause > pauseMax {
			pause = pauseMax
		}
		return time.Duration(float64(pause) * (1 - rand.Float64()/2)), true
	}
	return 0, false
}

// isTooBig: a library refused the message. Nothing was written, and nothing else can come of it.
func isTooBig(failed failure) bool {
	return failed.code == codes.ResourceExhausted &&
		strings.Contains(failed.message, "larger than max")
}

func main() {
	address := flag.String("address", "127.0.0.1:50051", "where the service is")
	customer := flag.String("customer", "", "x-customer-id")
	provider := flag.String("provider", "", "x-provider-name")
	requestID := flag.String("request-id", "", "a UUID, stored before this is run")
	sequenceID := flag.String("sequence", "", "id of the sequence at the provider")
	note := flag.String("note", "", "note of the task")
	flag.Parse()

	connection, err := grpc.NewClient(
		*address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"round_robin": {}}]}`),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second}),
	)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	defer connection.Close()
	request := &pb.CreateSequenceStepRequest{
		RequestId:  *requestID,
		SequenceId: *sequenceID,
		Step:       &pb.SequenceStep{Type: pb.StepType_STEP_TYPE_TASK, TaskNote: *note},
	}
	client := pb.NewSequenceStepServiceClient(connection)
	answer, err := createStep(context.Background(), client, request, *customer, *provider)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(answer.GetId())
	for _, warning := range answer.GetWarnings() {
		fmt.Printf("%s %s: %s\n", warning.GetProblemType(), warning.GetField(), warning.GetDetail())
	}
}
