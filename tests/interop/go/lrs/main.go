// A management server for load reports alone: says "listening ADDRESS", answers the first request of each stream with --response (JSON of a
// LoadStatsResponse), and prints each request as a line of JSON with the number of its stream and the milliseconds since the stream began.
//
//	lrs --response '{"send_all_clusters": true, "load_reporting_interval": "0.5s"}' [--end-after N]
//
// --end-after ends each stream after so many requests.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"sync"
	"sync/atomic"
	"time"

	load "github.com/envoyproxy/go-control-plane/envoy/service/load_stats/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
)

type server struct {
	load.UnimplementedLoadReportingServiceServer
	response *load.LoadStatsResponse
	endAfter int
	streams  atomic.Int64
	printing sync.Mutex
}

func (s *server) StreamLoadStats(stream load.LoadReportingService_StreamLoadStatsServer) error {
	number, begin := s.streams.Add(1), time.Now()
	for n := 1; ; n++ {
		request, err := stream.Recv()
		if err != nil {
			return nil
		}
		body, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(request)
		if err != nil {
			log.Fatal(err)
		}
		line, err := json.Marshal(map[string]any{"stream": number, "ms": time.Since(begin).Milliseconds(), "request": json.RawMessage(body)})
		if err != nil {
			log.Fatal(err)
		}
		s.printing.Lock()
		fmt.Println(string(line))
		s.printing.Unlock()
		if s.endAfter > 0 && n >= s.endAfter {
			return nil
		}
		if n > 1 {
			continue
		}
		if err := stream.Send(s.response); err != nil {
			return err
		}
	}
}

func main() {
	response := flag.String("response", `{"send_all_clusters": true, "load_reporting_interval": "1s"}`, "JSON of a LoadStatsResponse")
	endAfter := flag.Int("end-after", 0, "requests")
	flag.Parse()
	s := &server{response: &load.LoadStatsResponse{}, endAfter: *endAfter}
	if err := protojson.Unmarshal([]byte(*response), s.response); err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening", listener.Addr())
	g := grpc.NewServer()
	load.RegisterLoadReportingServiceServer(g, s)
	log.Fatal(g.Serve(listener))
}
