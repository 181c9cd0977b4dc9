// The module of the example; `go mod tidy` adds what it needs.
module example.com/sequence-step-caller

go 1.22
