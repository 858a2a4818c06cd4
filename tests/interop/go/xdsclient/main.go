// A proxyless gRPC client: it takes its endpoints from a control plane (GRPC_XDS_BOOTSTRAP names the bootstrap file),
// makes COUNT health checks to TARGET and prints how many each backend answered, as "NAME N" lines.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"sort"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	_ "google.golang.org/grpc/xds"
)

func main() {
	target := flag.String("target", "", "xds:///NAME")
	count := flag.Int("count", 20, "calls to make")
	linger := flag.Duration("linger", 0, "how long to stay connected after the calls")
	timeout := flag.Duration("timeout", 15*time.Second, "for all calls together")
	flag.Parse()
	connection, err := grpc.NewClient(*target, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), *timeout)
	defer cancel()
	answers := map[string]int{}
	for range *count {
		var header metadata.MD
		if _, err := healthpb.NewHealthClient(connection).Check(ctx, &healthpb.HealthCheckRequest{}, grpc.Header(&header), grpc.WaitForReady(true)); err != nil {
			log.Fatal(err)
		}
		for _, name := range header.Get("x-backend") {
			answers[name]++
		}
	}
	var names []string
	for name := range answers {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		fmt.Printf("%s %d\n", name, answers[name])
	}
	time.Sleep(*linger)
}
