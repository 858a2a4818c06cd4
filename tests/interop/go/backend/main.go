// A gRPC backend: the health service, with its own name in the header x-backend of each answer.
// It prints "listening HOST:PORT" once it accepts.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
)

func main() {
	name := flag.String("name", "backend", "what x-backend says")
	flag.Parse()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	g := grpc.NewServer(grpc.UnaryInterceptor(func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		if err := grpc.SetHeader(ctx, metadata.Pairs("x-backend", *name)); err != nil {
			return nil, err
		}
		return next(ctx, request)
	}))
	healthpb.RegisterHealthServer(g, health.NewServer())
	fmt.Printf("listening %s\n", listener.Addr())
	log.Fatal(g.Serve(listener))
}
