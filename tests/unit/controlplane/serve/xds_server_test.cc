// The xDS services as clients see them: over real gRPC, through the generated stubs, on ports the kernel picks.
#include <catch2/catch.hpp>

#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <absl/strings/str_cat.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include "base/log.h"
#include "controlplane/rpc/own_files.h"
#include "controlplane/serve/frame_cache.h"
#include "controlplane/serve/xds_server.h"
#include "envoy/service/cluster/v3/cds.grpc.pb.h"
#include "envoy/service/discovery/v3/ads.grpc.pb.h"
#include "envoy/service/endpoint/v3/eds.grpc.pb.h"
#include "envoy/service/listener/v3/lds.grpc.pb.h"
#include "envoy/service/route/v3/rds.grpc.pb.h"
#include "envoy/service/secret/v3/sds.grpc.pb.h"
#include "tests/unit/controlplane/make.h"
#include "tests/unit/controlplane/serve/xds_clients.h"

namespace xds_server_test {

using namespace fairlead;
using namespace fairlead::test;
using envoy::service::discovery::v3::DiscoveryRequest;
using envoy::service::discovery::v3::DiscoveryResponse;

TEST_CASE("delta ADS: the whole exchange, and one change as one resource") {
  Running run;
  run.apply(edge());
  auto stub = AggregatedDiscoveryService::NewStub(run.channel());
  auto c = context();
  auto stream = stub->DeltaAggregatedResources(c.get());
  REQUIRE(stream->Write(request<DeltaDiscoveryRequest>(Type::kCluster)));
  DeltaDiscoveryResponse r;
  REQUIRE(stream->Read(&r));
  REQUIRE(r.resources_size() == 1);
  CHECK(r.resources(0).name() == "a");
  envoy::config::cluster::v3::Cluster got;
  REQUIRE(r.resources(0).resource().UnpackTo(&got));
  CHECK(got.connect_timeout().seconds() == 1);
  REQUIRE(stream->Write(ack<DeltaDiscoveryRequest>(r.nonce(), Type::kCluster)));
  auto eds = ack<DeltaDiscoveryRequest>("", Type::kEndpoint);
  eds.add_resource_names_subscribe("a");
  REQUIRE(stream->Write(eds));
  REQUIRE(stream->Read(&r));
  CHECK(r.type_url() == resources::type_url(Type::kEndpoint));
  REQUIRE(stream->Write(ack<DeltaDiscoveryRequest>(r.nonce(), Type::kEndpoint)));
  snapshot::Update u;
  u.assignments.push_back(assignment("a", 2));
  run.apply(std::move(u));
  REQUIRE(stream->Read(&r));
  CHECK(r.type_url() == resources::type_url(Type::kEndpoint));
  CHECK(r.resources_size() == 1);
  CHECK(r.removed_resources_size() == 0);
  stream->WritesDone();
  CHECK(stream->Finish().ok());
  run.await_streams(0);
}

TEST_CASE("rule 25: state of the world ADS: versions, nonces and the identifier") {
  XdsServer::Options o;
  o.core.identifier = "me";
  Running run(o);
  run.apply(edge());
  auto stub = AggregatedDiscoveryService::NewStub(run.channel());
  auto c = context();
  auto stream = stub->StreamAggregatedResources(c.get());
  REQUIRE(stream->Write(request<DiscoveryRequest>(Type::kListener)));
  DiscoveryResponse r;
  REQUIRE(stream->Read(&r));
  CHECK(r.resources_size() == 1);
  CHECK(r.control_plane().identifier() == "me");
  CHECK_FALSE(r.version_info().empty());
  auto ok = ack<DiscoveryRequest>(r.nonce(), Type::kListener);
  ok.set_version_info(r.version_info());
  REQUIRE(stream->Write(ok));
  REQUIRE(stream->Write(ack<DiscoveryRequest>("", Type::kCluster)));
  DiscoveryResponse clusters;
  REQUIRE(stream->Read(&clusters));
  CHECK(clusters.nonce() != r.nonce());
  run.apply(edge(2));
  DiscoveryResponse later;
  auto ok2 = ack<DiscoveryRequest>(clusters.nonce(), Type::kCluster);
  ok2.set_version_info(clusters.version_info());
  REQUIRE(stream->Write(ok2));
  REQUIRE(stream->Read(&later));
  CHECK(later.type_url() == resources::type_url(Type::kCluster));
  CHECK(later.version_info() != clusters.version_info());
}

TEST_CASE("each type has its own service, of both kinds") {
  Running run;
  run.apply(edge());
  auto channel = run.channel();
  auto sotw = [&](auto stub, auto open, const char* name) {
    auto c = context();
    auto stream = open(*stub, c.get());
    DiscoveryRequest first = request<DiscoveryRequest>(Type::kCluster);
    first.clear_type_url();  // the service says it
    first.add_resource_names(name);
    REQUIRE(stream->Write(first));
    DiscoveryResponse r;
    REQUIRE(stream->Read(&r));
    CHECK(r.resources_size() == 1);
    return r.type_url();
  };
  using namespace envoy::service;
  CHECK(sotw(cluster::v3::ClusterDiscoveryService::NewStub(channel), [](auto& s, auto* c) { return s.StreamClusters(c); }, "a") == resources::type_url(Type::kCluster));
  CHECK(sotw(endpoint::v3::EndpointDiscoveryService::NewStub(channel), [](auto& s, auto* c) { return s.StreamEndpoints(c); }, "a") == resources::type_url(Type::kEndpoint));
  CHECK(sotw(listener::v3::ListenerDiscoveryService::NewStub(channel), [](auto& s, auto* c) { return s.StreamListeners(c); }, "l") == resources::type_url(Type::kListener));
  CHECK(sotw(route::v3::RouteDiscoveryService::NewStub(channel), [](auto& s, auto* c) { return s.StreamRoutes(c); }, "r") == resources::type_url(Type::kRoute));
  auto c = context();
  auto stub = cluster::v3::ClusterDiscoveryService::NewStub(channel);
  auto stream = stub->DeltaClusters(c.get());
  auto first = request<DeltaDiscoveryRequest>(Type::kListener);  // not this service's
  REQUIRE(stream->Write(first));
  DeltaDiscoveryResponse r;
  CHECK_FALSE(stream->Read(&r));
  const grpc::Status status = stream->Finish();
  CHECK(status.error_code() == grpc::StatusCode::INVALID_ARGUMENT);
  CHECK(status.error_message().find("this service serves type.googleapis.com/envoy.config.cluster.v3.Cluster") == 0);
}

TEST_CASE("methods that are not served are unimplemented, by name") {
  Running run;
  run.apply(edge());
  auto stub = envoy::service::secret::v3::SecretDiscoveryService::NewStub(run.channel());
  auto c = context();
  DiscoveryResponse r;
  const grpc::Status status = stub->FetchSecrets(c.get(), request<DiscoveryRequest>(Type::kSecret), &r);
  CHECK(status.error_code() == grpc::StatusCode::UNIMPLEMENTED);
  CHECK(status.error_message() == "no method /envoy.service.secret.v3.SecretDiscoveryService/FetchSecrets here");
}

TEST_CASE("a server whose sources are not read yet refuses with Unavailable and serves the same client later") {
  Running run;
  auto stub = AggregatedDiscoveryService::NewStub(run.channel());
  {
    auto c = context();
    auto stream = stub->DeltaAggregatedResources(c.get());
    stream->Write(request<DeltaDiscoveryRequest>(Type::kCluster));
    DeltaDiscoveryResponse r;
    CHECK_FALSE(stream->Read(&r));
    const grpc::Status status = stream->Finish();
    CHECK(status.error_code() == grpc::StatusCode::UNAVAILABLE);
    CHECK(status.error_message() == "the sources have not been read completely yet");
  }
  run.apply(edge());
  auto c = context();
  auto stream = stub->DeltaAggregatedResources(c.get());
  REQUIRE(stream->Write(request<DeltaDiscoveryRequest>(Type::kCluster)));
  DeltaDiscoveryResponse r;
  CHECK(stream->Read(&r));
}

TEST_CASE("an address in use is an error that names it") {
  Running first;
  XdsServer::Options o;
  o.address = first.server->address();
  const auto second = XdsServer::start(o, RealClock::instance());
  REQUIRE_FALSE(second.ok());
  CHECK(second.status().message() == absl::StrCat("cannot listen for xDS on ", o.address, ": the address is in use"));
  first.apply(edge());  // and the first goes on
  CHECK(first.server->ask<bool>([](Core& core) { return core.ready(); }));
}

TEST_CASE("two hundred streams get a change, each the same bytes") {
  Running run;
  run.apply(edge());
  constexpr int kStreams = 200;
  auto channel = run.channel();
  auto stub = AggregatedDiscoveryService::NewStub(channel);
  struct Client {
    std::unique_ptr<grpc::ClientContext> context = xds_server_test::context();
    std::unique_ptr<grpc::ClientReaderWriter<DeltaDiscoveryRequest, DeltaDiscoveryResponse>> stream;
  };
  std::vector<Client> clients(kStreams);
  DeltaDiscoveryResponse r;
  for (int i = 0; i < kStreams; ++i) {
    clients[i].stream = stub->DeltaAggregatedResources(clients[i].context.get());
    REQUIRE(clients[i].stream->Write(request<DeltaDiscoveryRequest>(Type::kCluster, absl::StrCat("n", i))));
    REQUIRE(clients[i].stream->Read(&r));
    REQUIRE(clients[i].stream->Write(ack<DeltaDiscoveryRequest>(r.nonce(), Type::kCluster)));
  }
  CHECK(run.streams() == kStreams);
  run.apply(edge(2));
  std::string bytes;
  for (Client& client : clients) {
    REQUIRE(client.stream->Read(&r));
    REQUIRE(r.resources_size() == 1);
    if (bytes.empty()) bytes = r.resources(0).SerializeAsString();
    CHECK(r.resources(0).SerializeAsString() == bytes);
  }
  for (Client& client : clients) client.context->TryCancel();
  run.await_streams(0);
}

TEST_CASE("rule 12: a client that goes away amid a large write leaves nothing behind") {
  Running run;
  std::vector<ResourcePtr> many;
  for (int i = 0; i < 20'000; ++i) many.push_back(cluster(absl::StrCat("cluster-with-a-long-name-", i, std::string(200, 'x'))));
  run.apply(edge(1, many));
  for (int round = 0; round < 5; ++round) {
    auto c = context();
    auto stub = AggregatedDiscoveryService::NewStub(run.channel());
    auto stream = stub->DeltaAggregatedResources(c.get());
    REQUIRE(stream->Write(request<DeltaDiscoveryRequest>(Type::kCluster)));
    if (round % 2) {  // after the first part has come
      DeltaDiscoveryResponse r;
      REQUIRE(stream->Read(&r));
    } else {
      run.await_streams(1);
    }
    c->TryCancel();
    stream.reset();
    run.await_streams(0);
  }
}

TEST_CASE("a hundred requests of garbage cost only their own streams") {
  Running run;
  run.apply(edge());
  auto good_stub = AggregatedDiscoveryService::NewStub(run.channel());
  auto good_context = context();
  auto good = good_stub->DeltaAggregatedResources(good_context.get());
  REQUIRE(good->Write(request<DeltaDiscoveryRequest>(Type::kCluster)));
  DeltaDiscoveryResponse r;
  REQUIRE(good->Read(&r));
  REQUIRE(good->Write(ack<DeltaDiscoveryRequest>(r.nonce(), Type::kCluster)));

  grpc::GenericStub stub(run.channel());
  grpc::CompletionQueue queue;
  auto await = [&] {
    void* tag;
    bool ok = false;
    REQUIRE(queue.AsyncNext(&tag, &ok, std::chrono::system_clock::now() + kPatience) == grpc::CompletionQueue::GOT_EVENT);
    return ok;
  };
  for (int i = 0; i < 100; ++i) {
    grpc::ClientContext c;
    const char* method = i % 2 ? "StreamAggregatedResources" : "DeltaAggregatedResources";
    auto call = stub.PrepareCall(&c, absl::StrCat("/envoy.service.discovery.v3.AggregatedDiscoveryService/", method), &queue);
    call->StartCall(nullptr);
    REQUIRE(await());
    std::string garbage(1 + i * 37, '\0');
    for (size_t b = 0; b < garbage.size(); ++b) garbage[b] = static_cast<char>((b * 131 + i * 17) | 7);
    grpc::Slice slice(garbage);
    call->Write(grpc::ByteBuffer(&slice, 1), nullptr);
    await();
    grpc::Status status;
    call->Finish(&status, nullptr);
    REQUIRE(await());
    CHECK(status.error_code() == grpc::StatusCode::INVALID_ARGUMENT);
  }
  queue.Shutdown();
  run.apply(edge(2));
  REQUIRE(good->Read(&r));
  CHECK(r.resources_size() == 1);
  CHECK(run.streams() == 1);
  CHECK(run.server->ask<uint64_t>([](Core& core) { return core.metrics().bad_requests; }) == 100);
  good_context->TryCancel();
}

TEST_CASE("rule 11: shutting down with open streams ends them; questions asked after it are answered at once") {
  Running run;
  run.apply(edge());
  auto stub = AggregatedDiscoveryService::NewStub(run.channel());
  auto c = context();
  auto stream = stub->DeltaAggregatedResources(c.get());
  REQUIRE(stream->Write(request<DeltaDiscoveryRequest>(Type::kCluster)));
  DeltaDiscoveryResponse r;
  REQUIRE(stream->Read(&r));
  std::atomic<bool> stop{false};
  std::thread asking([&] {  // while others go on asking
    while (!stop) run.server->ask<size_t>([](Core& core) { return core.streams(); }, 7);
  });
  run.server->shutdown();
  run.server->shutdown();
  stop = true;
  asking.join();
  CHECK_FALSE(stream->Read(&r));
  CHECK_FALSE(stream->Finish().ok());
  CHECK(run.server->ask<size_t>([](Core& core) { return core.streams(); }, 7) == 7);
}

TEST_CASE("rule 11: a server that is to go sends client after client to another, serves those it has meanwhile, and says that it is leaving") {
  Running going, staying;
  going.apply(edge());
  staying.apply(edge());
  const std::string both = absl::StrCat("ipv4:", going.server->address(), ",", staying.server->address());
  struct Client {
    std::shared_ptr<grpc::Channel> channel;
    std::unique_ptr<AggregatedDiscoveryService::Stub> stub;
    std::unique_ptr<grpc::ClientContext> c;
    std::unique_ptr<grpc::ClientReaderWriter<DeltaDiscoveryRequest, DeltaDiscoveryResponse>> stream;
    void open() {
      stream.reset();
      c = context();
      stream = stub->DeltaAggregatedResources(c.get());
      REQUIRE(stream->Write(request<DeltaDiscoveryRequest>(Type::kCluster)));
      DeltaDiscoveryResponse r;
      REQUIRE(stream->Read(&r));
      CHECK(r.resources_size() == 1);
    }
  };
  std::vector<Client> clients(6);
  for (Client& client : clients) {
    grpc::ChannelArguments args;
    args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    client.channel = grpc::CreateCustomChannel(both, grpc::InsecureChannelCredentials(), args);
    client.stub = AggregatedDiscoveryService::NewStub(client.channel);
    client.open();
  }
  going.await_streams(6);
  std::promise<void> gone;
  going.server->drain(std::chrono::milliseconds(600), [&] { gone.set_value(); });
  CHECK(going.server->ask<bool>([](Core& core) { return core.leaving() && !core.ready(); }));
  for (Client& client : clients) {
    DeltaDiscoveryResponse r;
    CHECK_FALSE(client.stream->Read(&r));
    CHECK(client.stream->Finish().error_code() == grpc::StatusCode::UNAVAILABLE);
    client.open();
  }
  CHECK(gone.get_future().wait_for(kPatience) == std::future_status::ready);
  staying.await_streams(6);
  CHECK(going.streams() == 0);
}

TEST_CASE("started and stopped over and over with a client that reconnects") {
  for (int i = 0; i < 10; ++i) {
    Running run;
    run.apply(edge());
    auto stub = AggregatedDiscoveryService::NewStub(run.channel());
    auto c = context();
    auto stream = stub->StreamAggregatedResources(c.get());
    REQUIRE(stream->Write(request<DiscoveryRequest>(Type::kCluster)));
    DiscoveryResponse r;
    REQUIRE(stream->Read(&r));
    run.apply(edge(2 + i));
  }
}

TEST_CASE("frames are shared, not copied, and let go of when nobody else holds the resource") {
  serve::FrameCache cache;
  const auto big = [](int i) { return cluster(absl::StrCat(i, std::string(1 << 20, 'x'))); };
  const auto message = [](std::vector<ResourcePtr> shared, bool delta) {
    cpstream::WireMessage m;
    m.head = "head";
    m.shared = std::move(shared);
    m.delta = delta;
    return m;
  };
  const auto at = [](const net::Buffer& b) {  // where its last slice begins
    const char* last = nullptr;
    b.for_each_slice([&](std::string_view slice) { last = slice.data(); });
    return last;
  };
  const ResourcePtr r = big(0);
  const net::Buffer one = cache.bytes_of(message({r}, true)), two = cache.bytes_of(message({r}, true)), other = cache.bytes_of(message({r}, false));
  CHECK(one.to_string() == "head" + r->delta_frame);
  CHECK(other.to_string() == "head" + r->sotw_frame());
  CHECK(at(one) == r->delta_frame.data());
  CHECK(at(two) == at(one));
  for (int i = 1; i <= 100; ++i) cache.bytes_of(message({big(i)}, i % 2));  // 200 MB, held by nobody else
  CHECK(cache.frames() < 20);
  CHECK(at(cache.bytes_of(message({r}, true))) == at(one));
  // a small frame is not worth a block of its own
  const size_t frames = cache.frames();
  CHECK(cache.bytes_of(message({cluster("small")}, true)).to_string() == "head" + cluster("small")->delta_frame);
  CHECK(cache.frames() == frames);
}

TEST_CASE("long responses are joined once a second stream wants the same, and few of them are kept") {
  serve::FrameCache cache;
  std::vector<ResourcePtr> list;
  std::string expected;
  for (int i = 0; i < 10; ++i) {
    list.push_back(cluster(absl::StrCat("c", i, std::string(1000, 'x'))));
    expected += list.back()->delta_frame;
  }
  const auto message = [](std::vector<ResourcePtr> shared) {
    cpstream::WireMessage m;
    m.shared = std::move(shared);
    m.delta = true;
    return m;
  };
  const net::Buffer first = cache.bytes_of(message(list));
  CHECK(first.to_string() == expected);
  CHECK(first.front().data() == list.front()->delta_frame.data());  // linked: nobody else may want the same
  CHECK(cache.bundles() == 0);
  const net::Buffer one = cache.bytes_of(message(list)), two = cache.bytes_of(message(list));
  CHECK(one.to_string() == expected);
  CHECK(one.front().data() == two.front().data());
  CHECK(cache.bundles() == 1);
  for (int i = 0; i < 50; ++i) {
    std::vector<ResourcePtr> others = list;
    others.push_back(cluster(absl::StrCat("d", i)));
    for (int twice = 0; twice < 2; ++twice) cache.bytes_of(message(others));
  }
  CHECK(cache.bundles() == serve::FrameCache::kBundles);
  for (int i = 0; i < 5; ++i) {
    std::vector<ResourcePtr> others = list;
    others.push_back(cluster(absl::StrCat(i, std::string(20 << 20, 'x'))));
    for (int twice = 0; twice < 2; ++twice) cache.bytes_of(message(others));
  }
  CHECK(cache.bundles() < 5);
}

TEST_CASE("of what leaves, that which one client alone holds is counted: heads, copied frames and what is joined for the first time") {
  serve::FrameCache cache;
  const auto own = [&](std::vector<ResourcePtr> shared) {
    cpstream::WireMessage m;
    m.head = "head";
    m.shared = std::move(shared);
    m.delta = true;
    size_t bytes = 77;
    cache.bytes_of(m, &bytes);
    return bytes;
  };
  const ResourcePtr small = cluster("small"), big = cluster(std::string(10'000, 'x'));
  CHECK(own({}) == 4);
  CHECK(own({small, big}) == 4 + small->delta_frame.size());
  std::vector<ResourcePtr> many;
  size_t all = 4;
  for (int i = 0; i < 20; ++i) {
    many.push_back(cluster(absl::StrCat("c", i)));
    all += many.back()->delta_frame.size();
  }
  CHECK(own(many) == all);
  CHECK(own(many) == 4);
}

TEST_CASE("health checks tell whether the sources are read, and reflection what is served") {
  Running run;
  const auto call = [&](const std::string& method, const std::string& request, std::string& answer) {
    grpc::GenericStub stub(run.channel());
    grpc::CompletionQueue queue;
    auto c = context();
    grpc::Slice slice(request);
    auto reader = stub.PrepareUnaryCall(c.get(), method, grpc::ByteBuffer(&slice, 1), &queue);
    reader->StartCall();
    grpc::ByteBuffer bytes;
    grpc::Status status;
    reader->Finish(&bytes, &status, nullptr);
    void* tag;
    bool ok = false;
    REQUIRE(queue.AsyncNext(&tag, &ok, std::chrono::system_clock::now() + kPatience) == grpc::CompletionQueue::GOT_EVENT);
    std::vector<grpc::Slice> slices;
    if (status.ok()) REQUIRE(bytes.Dump(&slices).ok());
    answer.clear();
    for (const grpc::Slice& s : slices) answer.append(reinterpret_cast<const char*>(s.begin()), s.size());
    return status;
  };
  std::string answer;
  REQUIRE(call("/grpc.health.v1.Health/Check", "", answer).ok());
  CHECK(answer == "\x08\x02");  // NOT_SERVING
  run.apply(edge());
  REQUIRE(call("/grpc.health.v1.Health/Check", "", answer).ok());
  CHECK(answer == "\x08\x01");  // SERVING
  const std::string ads = "envoy.service.discovery.v3.AggregatedDiscoveryService";
  REQUIRE(call("/grpc.health.v1.Health/Check", absl::StrCat("\x0a", std::string(1, static_cast<char>(ads.size())), ads), answer).ok());
  CHECK(answer == "\x08\x01");
  CHECK(call("/grpc.health.v1.Health/Check", "\x0a\x01x", answer).error_code() == grpc::StatusCode::NOT_FOUND);
  REQUIRE(call("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", absl::StrCat("\x3a", std::string(1, '\0')), answer).ok());
  CHECK(answer.find(ads) != std::string::npos);
  REQUIRE(call("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", absl::StrCat("\x22", std::string(1, static_cast<char>(ads.size())), ads), answer).ok());
  CHECK(answer.find("envoy/service/discovery/v3/ads.proto") != std::string::npos);
  // what is listed is described, the services beside xDS as well, and may be linked by whoever asks
  for (const char* service : {"grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"}) {
    INFO(service);
    const std::optional<std::string> file = rpc::own_file_of(service);
    REQUIRE(file);
    google::protobuf::FileDescriptorProto proto;
    REQUIRE(proto.ParseFromString(*file));
    CHECK(rpc::own_file(proto.name()) == file);
    google::protobuf::DescriptorPool pool;
    const auto* linked = pool.BuildFile(proto);
    REQUIRE(linked != nullptr);
    CHECK(linked->service(0)->full_name() == service);
    const std::string name(service);
    REQUIRE(call("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", absl::StrCat("\x22", std::string(1, static_cast<char>(name.size())), name), answer).ok());
    CHECK(answer.find(*file) != std::string::npos);
  }
  CHECK(rpc::own_file_of("grpc.health.v1.HealthCheckResponse.ServingStatus") == rpc::own_file("grpc/health/v1/health.proto"));
  CHECK_FALSE(rpc::own_file_of("grpc.health.v1.Healthy"));
}

TEST_CASE("streams that are opened at once are let in at the rate, and all of them answered") {
  XdsServer::Options o;
  o.admission = {10, std::chrono::seconds(20)};
  Running run(o);
  run.apply(edge());
  const auto channel = run.channel();
  const auto begun = std::chrono::steady_clock::now();
  std::vector<std::unique_ptr<Asking>> all;
  for (int i = 0; i < 14; ++i) all.push_back(std::make_unique<Asking>(channel));
  for (const auto& one : all) CHECK(one->answered());
  CHECK(std::chrono::steady_clock::now() - begun > std::chrono::milliseconds(350));
  CHECK(denied(run, serve::Denial::kBusy) == 0);
  all.clear();
  run.await_streams(0);
}

TEST_CASE("a stream that would be let in too late is sent away unanswered, at once or when its time is up") {
  XdsServer::Options o;
  o.admission = {1, std::chrono::milliseconds(700)};
  Running run(o);
  run.apply(edge());
  const auto channel = run.channel();
  Asking first(channel);
  CHECK(first.answered());
  Asking waits(channel), refused(channel);
  const grpc::Status late = waits.end(), never = refused.end();
  CHECK(late.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
  CHECK(late.error_message() == "waited for 0.7 s among 0 streams: connect again");
  CHECK(never.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
  CHECK(never.error_message() == "too many streams are being opened at once: connect again later");
  CHECK(denied(run, serve::Denial::kBusy) == 2);
  run.await_streams(1);
  {  // one that goes away while it waits
    Asking gone(channel);
    run.await_streams(2);
  }
  run.await_streams(1);
}

TEST_CASE("while too much is on its way to clients, who asks for much waits and who asks for little does not; one that does not read is not waited for") {
  constexpr int kMany = 3000;
  for (const bool reads : {true, false}) {
    INFO(reads);
    XdsServer::Options o;
    o.outflow = {100'000, reads ? std::chrono::milliseconds(3'600'000) : std::chrono::milliseconds(50)};
    Running run(o);
    std::vector<ResourcePtr> many;
    for (int i = 0; i < kMany; ++i) many.push_back(assignment(absl::StrCat("endpoints-", i)));
    run.apply(edge(1, many));
    struct Asker {
      static std::shared_ptr<grpc::Channel> channel(const std::string& address) {
        grpc::ChannelArguments args;
        args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
        args.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);  // its window stays as it is
        return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), args);
      }
      Asker(const Running& run, Type type, int names) : stub(AggregatedDiscoveryService::NewStub(channel(run.server->address()))), c(context()), stream(stub->DeltaAggregatedResources(c.get())) {
        auto r = request<DeltaDiscoveryRequest>(type);
        for (int i = 0; i < names; ++i) r.add_resource_names_subscribe(absl::StrCat("endpoints-", i));
        REQUIRE(stream->Write(r));
      }
      int got() {
        DeltaDiscoveryResponse r;
        REQUIRE(stream->Read(&r));
        return r.resources_size();
      }
      ~Asker() { c->TryCancel(); }
      std::unique_ptr<AggregatedDiscoveryService::Stub> stub;
      std::unique_ptr<grpc::ClientContext> c;
      std::unique_ptr<grpc::ClientReaderWriter<DeltaDiscoveryRequest, DeltaDiscoveryResponse>> stream;
    };
    const auto waiting = [&] { return run.server->ask<size_t>([](Core& core) { return core.metrics().connects_waiting; }); };
    const auto sent = [&] { return run.server->ask<uint64_t>([](Core& core) { return core.metrics().types[resources::index(Type::kEndpoint)].responses; }); };
    Asker first(run, Type::kEndpoint, kMany);  // some 300 KB, of which its window takes 64
    const auto end = std::chrono::steady_clock::now() + kPatience;
    while (sent() == 0 && std::chrono::steady_clock::now() < end) std::this_thread::yield();
    Asker second(run, Type::kEndpoint, kMany);
    if (reads) {
      while (waiting() == 0 && std::chrono::steady_clock::now() < end) std::this_thread::yield();
      CHECK(waiting() == 1);
      CHECK(Asker(run, Type::kCluster, 0).got() == 1);
      CHECK(sent() == 1);
      CHECK(first.got() == kMany);
    }
    CHECK(second.got() == kMany);
    CHECK(waiting() == 0);
  }
}

TEST_CASE("a message above the limit ends its stream and is counted") {
  XdsServer::Options o;
  o.max_request_bytes = 10'000;
  Running run(o);
  run.apply(edge());
  Asking stream(run.channel());
  CHECK(stream.answered());
  auto large = ack<DeltaDiscoveryRequest>("", Type::kEndpoint);
  large.add_resource_names_subscribe(std::string(10'000, 'x'));
  stream.stream->Write(large);
  CHECK(stream.end().error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
  CHECK(denied(run, serve::Denial::kMessageBytes) == 1);
  CHECK(run.streams() == 0);
}

}  // namespace xds_server_test
