// A crowd of ADS clients, each on a connection of its own: every one subscribes to all clusters, listeners and, by name, to their
// endpoints, and ACKs what it gets. It prints "ready STREAMS SECONDS" when all have everything. Then each line on standard input,
// "watch RESOURCE", makes it print "change N NANO...": when each stream got the next response that holds the resource (Unix
// nanoseconds, sorted), and "bytes B responses R resources X" received by all streams since the line was read.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
)

type crowd struct {
	address, node string
	clusters      int
	ready         sync.WaitGroup
	responses     atomic.Int64
	bytes         atomic.Int64
	resources     atomic.Int64
	mu            sync.Mutex
	watched       string
	times         []int64
	all           chan struct{}
	streams       int
}

// seen notes that one stream got these resources.
func (c *crowd) seen(size int, names []string) {
	now := time.Now().UnixNano()
	c.responses.Add(1)
	c.bytes.Add(int64(size))
	c.resources.Add(int64(len(names)))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.watched == "" || !slices.Contains(names, c.watched) {
		return
	}
	c.times = append(c.times, now)
	if len(c.times) == c.streams {
		close(c.all)
	}
}

func (c *crowd) dial() (*grpc.ClientConn, discoveryv3.AggregatedDiscoveryServiceClient) {
	connection, err := grpc.NewClient(c.address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(256<<20)))
	if err != nil {
		log.Fatal(err)
	}
	return connection, discoveryv3.NewAggregatedDiscoveryServiceClient(connection)
}

func (c *crowd) delta(id int) {
	connection, client := c.dial()
	defer connection.Close()
	stream, err := client.DeltaAggregatedResources(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	send := func(r *discoveryv3.DeltaDiscoveryRequest) {
		if err := stream.Send(r); err != nil {
			log.Fatal(err)
		}
	}
	node := &corev3.Node{Id: fmt.Sprintf("load-%d", id), Cluster: c.node}
	send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: resource.ClusterType, Node: node})
	send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: resource.ListenerType})
	clusters, endpoints := map[string]bool{}, map[string]bool{}
	waiting := true
	for {
		r, err := stream.Recv()
		if err != nil {
			log.Fatalf("stream %d: %v", id, err)
		}
		var names []string
		for _, one := range r.Resources {
			names = append(names, one.Name)
		}
		c.seen(proto.Size(r), names)
		send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: r.TypeUrl, ResponseNonce: r.Nonce})
		switch r.TypeUrl {
		case resource.ClusterType:
			var fresh []string
			for _, n := range names {
				if !clusters[n] {
					clusters[n] = true
					fresh = append(fresh, n)
				}
			}
			if len(fresh) > 0 {
				send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: resource.EndpointType, ResourceNamesSubscribe: fresh})
			}
		case resource.EndpointType:
			for _, n := range names {
				endpoints[n] = true
			}
		}
		if waiting && len(endpoints) >= c.clusters {
			waiting = false
			c.ready.Done()
		}
	}
}

func (c *crowd) sotw(id int) {
	connection, client := c.dial()
	defer connection.Close()
	stream, err := client.StreamAggregatedResources(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	send := func(r *discoveryv3.DiscoveryRequest) {
		if err := stream.Send(r); err != nil {
			log.Fatal(err)
		}
	}
	node := &corev3.Node{Id: fmt.Sprintf("load-%d", id), Cluster: c.node}
	send(&discoveryv3.DiscoveryRequest{TypeUrl: resource.ClusterType, Node: node})
	send(&discoveryv3.DiscoveryRequest{TypeUrl: resource.ListenerType})
	var wanted []string
	endpoints := map[string]bool{}
	waiting := true
	for {
		r, err := stream.Recv()
		if err != nil {
			log.Fatalf("stream %d: %v", id, err)
		}
		var names []string
		subscribed := wanted
		switch r.TypeUrl {
		case resource.ClusterType:
			wanted = nil
			for _, one := range r.Resources {
				// the name is field 1 of Cluster, as it is of ClusterLoadAssignment
				var named endpointv3.ClusterLoadAssignment
				_ = proto.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(firstField(one.Value), &named)
				wanted = append(wanted, named.ClusterName)
			}
			names = wanted
			subscribed = nil
		case resource.EndpointType:
			for _, one := range r.Resources {
				var named endpointv3.ClusterLoadAssignment
				_ = proto.Unmarshal(firstField(one.Value), &named)
				names = append(names, named.ClusterName)
				endpoints[named.ClusterName] = true
			}
		default:
			subscribed = nil
		}
		c.seen(proto.Size(r), names)
		send(&discoveryv3.DiscoveryRequest{TypeUrl: r.TypeUrl, ResponseNonce: r.Nonce, VersionInfo: r.VersionInfo, ResourceNames: subscribed})
		if r.TypeUrl == resource.ClusterType {
			send(&discoveryv3.DiscoveryRequest{TypeUrl: resource.EndpointType, ResourceNames: wanted})
		}
		if waiting && len(endpoints) >= c.clusters {
			waiting = false
			c.ready.Done()
		}
	}
}

// firstField cuts a message down to its first field, when that is a short string of number 1.
func firstField(b []byte) []byte {
	if len(b) < 2 || b[0] != 0x0a || b[1] >= 0x80 || len(b) < 2+int(b[1]) {
		return nil
	}
	return b[:2+int(b[1])]
}

func main() {
	c := &crowd{}
	flag.StringVar(&c.address, "address", "", "the control plane")
	flag.StringVar(&c.node, "node", "load", "node cluster")
	flag.IntVar(&c.streams, "streams", 1000, "clients")
	flag.IntVar(&c.clusters, "clusters", 1000, "how many endpoint sets make a client ready")
	mode := flag.String("mode", "delta", "delta or sotw")
	at := flag.Int("at-once", 50, "clients that start together")
	flag.Parse()
	started := time.Now()
	c.ready.Add(c.streams)
	gate := make(chan struct{}, *at)
	for i := range c.streams {
		gate <- struct{}{}
		go func() {
			go func() { time.Sleep(5 * time.Millisecond); <-gate }()
			if *mode == "sotw" {
				c.sotw(i)
			} else {
				c.delta(i)
			}
		}()
	}
	c.ready.Wait()
	fmt.Printf("ready %d %.2f\n", c.streams, time.Since(started).Seconds())

	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		name, ok := strings.CutPrefix(lines.Text(), "watch ")
		if !ok {
			log.Fatalf("unknown command %q", lines.Text())
		}
		c.mu.Lock()
		c.watched, c.times, c.all = name, nil, make(chan struct{})
		all := c.all
		c.mu.Unlock()
		bytes, responses, resources := c.bytes.Load(), c.responses.Load(), c.resources.Load()
		fmt.Println("watching")
		select {
		case <-all:
		case <-time.After(30 * time.Second):
			fmt.Println("timeout")
			continue
		}
		c.mu.Lock()
		slices.Sort(c.times)
		fmt.Printf("change %d", len(c.times))
		for _, t := range c.times {
			fmt.Printf(" %d", t)
		}
		fmt.Println()
		c.mu.Unlock()
		fmt.Printf("bytes %d responses %d resources %d\n", c.bytes.Load()-bytes, c.responses.Load()-responses, c.resources.Load()-resources)
	}
}
