// Asks an xDS server what its clients have, in the two ways that tools do.
//
//	csds --server ADDR fetch [REQUEST]   ClientStatusDiscoveryService/FetchClientStatus, its types learned by server reflection alone, as JSON
//	csds --server ADDR syncz             as istioctl proxy-status --xds-address: "istio.io/debug/syncz" over ADS; per client "NODE CDS LDS EDS RDS", then "BY ID VERSION"
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	status "github.com/envoyproxy/go-control-plane/envoy/service/status/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	reflection "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// The file that declares the symbol, with all it imports.
func describe(ctx context.Context, connection *grpc.ClientConn, symbol string) protoreflect.Descriptor {
	stream, err := reflection.NewServerReflectionClient(connection).ServerReflectionInfo(ctx)
	if err != nil {
		log.Fatal(err)
	}
	set := &descriptorpb.FileDescriptorSet{}
	known := map[string]bool{}
	ask := func(request *reflection.ServerReflectionRequest) []*descriptorpb.FileDescriptorProto {
		if err := stream.Send(request); err != nil {
			log.Fatal(err)
		}
		answer, err := stream.Recv()
		if err != nil {
			log.Fatal(err)
		}
		if answer.GetErrorResponse() != nil {
			log.Fatal(answer.GetErrorResponse().ErrorMessage)
		}
		var files []*descriptorpb.FileDescriptorProto
		for _, bytes := range answer.GetFileDescriptorResponse().GetFileDescriptorProto() {
			file := &descriptorpb.FileDescriptorProto{}
			if err := proto.Unmarshal(bytes, file); err != nil {
				log.Fatal(err)
			}
			files = append(files, file)
		}
		return files
	}
	waiting := ask(&reflection.ServerReflectionRequest{MessageRequest: &reflection.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: symbol}})
	for len(waiting) > 0 {
		file := waiting[0]
		waiting = waiting[1:]
		if known[file.GetName()] {
			continue
		}
		known[file.GetName()] = true
		set.File = append(set.File, file)
		for _, name := range file.Dependency {
			if !known[name] {
				waiting = append(waiting, ask(&reflection.ServerReflectionRequest{MessageRequest: &reflection.ServerReflectionRequest_FileByFilename{FileByFilename: name}})...)
			}
		}
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		log.Fatal(err)
	}
	found, err := files.FindDescriptorByName(protoreflect.FullName(symbol))
	if err != nil {
		log.Fatal(err)
	}
	return found
}

func fetch(ctx context.Context, connection *grpc.ClientConn, text string) {
	const service = "envoy.service.status.v3.ClientStatusDiscoveryService"
	method := describe(ctx, connection, service).(protoreflect.ServiceDescriptor).Methods().ByName("FetchClientStatus")
	request, answer := dynamicpb.NewMessage(method.Input()), dynamicpb.NewMessage(method.Output())
	if err := protojson.Unmarshal([]byte(text), request); err != nil {
		log.Fatal(err)
	}
	if err := connection.Invoke(ctx, "/"+service+"/FetchClientStatus", request, answer); err != nil {
		log.Fatal(err)
	}
	out, err := protojson.Marshal(answer)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(out))
}

func syncz(ctx context.Context, connection *grpc.ClientConn) {
	stream, err := discovery.NewAggregatedDiscoveryServiceClient(connection).StreamAggregatedResources(ctx)
	if err != nil {
		log.Fatal(err)
	}
	const kind = "istio.io/debug/syncz"
	if err := stream.Send(&discovery.DiscoveryRequest{Node: &core.Node{Id: "debug~0.0.0.0~istioctl~cluster.local"}, TypeUrl: kind}); err != nil {
		log.Fatal(err)
	}
	answer, err := stream.Recv()
	if err != nil {
		log.Fatal(err)
	}
	if answer.VersionInfo == "" || answer.TypeUrl != kind {
		log.Fatalf("type %q, version %q", answer.TypeUrl, answer.VersionInfo)
	}
	for _, resource := range answer.Resources {
		config := &status.ClientConfig{}
		if err := resource.UnmarshalTo(config); err != nil {
			log.Fatal(err)
		}
		old, states := map[string]string{}, map[string]string{}
		for _, c := range config.XdsConfig {
			switch c.PerXdsConfig.(type) {
			case *status.PerXdsConfig_ClusterConfig:
				old["Cluster"] = c.Status.String()
			case *status.PerXdsConfig_ListenerConfig:
				old["Listener"] = c.Status.String()
			case *status.PerXdsConfig_EndpointConfig:
				old["ClusterLoadAssignment"] = c.Status.String()
			case *status.PerXdsConfig_RouteConfig:
				old["RouteConfiguration"] = c.Status.String()
			}
		}
		for _, c := range config.GenericXdsConfigs {
			name := protoreflect.FullName(c.TypeUrl[len("type.googleapis.com/"):]).Name()
			states[string(name)] = c.ConfigStatus.String()
		}
		for name, state := range old {
			if states[name] != state {
				log.Fatalf("%s: %s in the old form, %s in the new", name, state, states[name])
			}
		}
		fmt.Println(config.Node.Id, states["Cluster"], states["Listener"], states["ClusterLoadAssignment"], states["RouteConfiguration"])
	}
	var by struct {
		Component, ID string
		Info          struct {
			Version string `json:"version"`
		}
	}
	if err := json.Unmarshal([]byte(answer.ControlPlane.GetIdentifier()), &by); err != nil {
		log.Fatalf("the identifier %q: %v", answer.ControlPlane.GetIdentifier(), err)
	}
	fmt.Println("BY", by.ID, by.Info.Version)
}

func main() {
	server := flag.String("server", "", "HOST:PORT")
	flag.Parse()
	connection, err := grpc.NewClient(*server, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	switch flag.Arg(0) {
	case "fetch":
		text := flag.Arg(1)
		if text == "" {
			text = "{}"
		}
		fetch(ctx, connection, text)
	case "syncz":
		syncz(ctx, connection)
	default:
		log.Fatal("fetch or syncz")
	}
}
