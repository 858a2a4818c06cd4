// The gRPC server as gRPC's own C++ client sees it, on ports the kernel picks.
#include <catch2/catch.hpp>

#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include "base/log.h"
#include "controlplane/rpc/server.h"
#include "dataplane/net/worker.h"
#include "tests/unit/dataplane/tls/make_certificates.h"

using namespace fairlead;

namespace {

constexpr std::chrono::seconds kPatience{20};

// Answers each message with itself; "fail": ends with a status and details; "many N": N answers of 100 KB; "stay": nothing.
class Echo final : public rpc::CallEvents {
 public:
  Echo(rpc::Call& call, std::atomic<int>& live) : call_(call), live_(live) { ++live_; }
  ~Echo() override { --live_; }
  void on_message(std::string_view message) override {
    if (message == "fail") {
      call_.finish(absl::FailedPreconditionError("100 % wrong\n"), "details");
      delete this;
    } else if (message.starts_with("many ")) {
      left_ = std::stoi(std::string(message.substr(5)));
      on_writable();
    } else if (message != "stay") {
      call_.send(net::Buffer(message));
    }
  }
  void on_writable() override {
    while (left_ > 0) {
      --left_;
      ++sent;
      if (!call_.send(net::Buffer(std::string(100'000, 'm')))) return;
    }
  }
  void on_client_done() override {
    call_.finish(absl::OkStatus());
    delete this;
  }
  void on_closed() override { delete this; }
  void on_drain() override {
    call_.finish(absl::UnavailableError("going"));
    delete this;
  }
  static inline std::atomic<int> sent{0};

 private:
  rpc::Call& call_;
  std::atomic<int>& live_;
  int left_ = 0;
};

struct Running {
  explicit Running(rpc::Server::Options options = {}) : worker(1, "rpc") {
    auto listening = rpc::Server::listen(worker.loop(), options);
    REQUIRE(listening.ok());
    server = *std::move(listening);
    server->add("/test.Echo/Talk", [this](rpc::Call& call) { return new Echo(call, live); });
    server->add("/test.Echo/Refuse", [](rpc::Call& call) {
      call.finish(absl::PermissionDeniedError(call.method()));
      return nullptr;
    });
    address = server->address();
    worker.start();
    worker.run_and_wait([this] { server->serve(); });
  }
  ~Running() {
    worker.run_and_wait([this] { server.reset(); });
    worker.stop();
  }
  std::shared_ptr<grpc::Channel> channel() const {
    grpc::ChannelArguments args;
    args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), args);
  }
  void await_calls(int n) {
    const auto end = std::chrono::steady_clock::now() + kPatience;
    while (live != n && std::chrono::steady_clock::now() < end) std::this_thread::yield();
    CHECK(live == n);
  }
  net::Worker worker;
  std::unique_ptr<rpc::Server> server;
  std::string address;
  std::atomic<int> live{0};
};

// One call, step by step.
struct Client {
  Client(const std::shared_ptr<grpc::Channel>& channel, const std::string& method, const std::function<void(grpc::ClientContext&)>& set = {})
      : stub(channel) {
    context.set_deadline(std::chrono::system_clock::now() + kPatience);
    context.set_wait_for_ready(true);
    if (set) set(context);
    call = stub.PrepareCall(&context, method, &queue);
    call->StartCall(nullptr);
    CHECK(await());
  }
  ~Client() {
    context.TryCancel();
    queue.Shutdown();
    void* tag;
    bool ok;
    while (queue.Next(&tag, &ok)) {
    }
  }
  bool await() {
    void* tag;
    bool ok = false;
    REQUIRE(queue.AsyncNext(&tag, &ok, std::chrono::system_clock::now() + kPatience) == grpc::CompletionQueue::GOT_EVENT);
    return ok;
  }
  bool write(const std::string& message) {
    grpc::Slice slice(message);
    call->Write(grpc::ByteBuffer(&slice, 1), nullptr);
    return await();
  }
  std::optional<std::string> read() {
    grpc::ByteBuffer bytes;
    call->Read(&bytes, nullptr);
    if (!await()) return std::nullopt;
    std::vector<grpc::Slice> slices;
    REQUIRE(bytes.Dump(&slices).ok());
    std::string out;
    for (const grpc::Slice& s : slices) out.append(reinterpret_cast<const char*>(s.begin()), s.size());
    return out;
  }
  grpc::Status finish() {
    grpc::Status status;
    call->Finish(&status, nullptr);
    CHECK(await());
    return status;
  }
  grpc::GenericStub stub;
  grpc::CompletionQueue queue;
  grpc::ClientContext context;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call;
};

}  // namespace

TEST_CASE("messages go back and forth on one call, small, empty and large") {
  rpc::Server::Options o;
  o.max_message_bytes = 3 << 20;
  Running run(o);
  Client client(run.channel(), "/test.Echo/Talk");
  for (const std::string& text : {std::string("hello"), std::string(), std::string(2 << 20, 'x')}) {
    REQUIRE(client.write(text));
    CHECK(client.read() == text);
  }
  client.call->WritesDone(nullptr);
  CHECK(client.await());
  CHECK_FALSE(client.read());
  CHECK(client.finish().ok());
  run.await_calls(0);
}

TEST_CASE("statuses carry their text and details; a call refused at once never begins") {
  Running run;
  Client client(run.channel(), "/test.Echo/Talk");
  REQUIRE(client.write("fail"));
  CHECK_FALSE(client.read());
  const grpc::Status status = client.finish();
  CHECK(status.error_code() == grpc::StatusCode::FAILED_PRECONDITION);
  CHECK(status.error_message() == "100 % wrong\n");
  CHECK(status.error_details() == "details");
  Client refused(run.channel(), "/test.Echo/Refuse");
  const grpc::Status why = refused.finish();
  CHECK(why.error_code() == grpc::StatusCode::PERMISSION_DENIED);
  CHECK(why.error_message() == "/test.Echo/Refuse");
  Client unknown(run.channel(), "/test.Echo/Nothing");
  CHECK(unknown.finish().error_message() == "no method /test.Echo/Nothing here");
}

TEST_CASE("a message above the limit ends its call alone") {
  rpc::Server::Options o;
  o.max_message_bytes = 1000;
  Running run(o);
  const auto channel = run.channel();
  Client good(channel, "/test.Echo/Talk"), bad(channel, "/test.Echo/Talk");
  bad.write(std::string(1001, 'x'));
  CHECK_FALSE(bad.read());
  const grpc::Status status = bad.finish();
  CHECK(status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
  CHECK(status.error_message() == "received message larger than max (1001 vs. 1000)");
  REQUIRE(good.write(std::string(1000, 'x')));
  CHECK(good.read()->size() == 1000);
}

TEST_CASE("compressed requests are understood") {
  Running run;
  for (grpc_compression_algorithm algorithm : {GRPC_COMPRESS_GZIP, GRPC_COMPRESS_DEFLATE}) {
    Client client(run.channel(), "/test.Echo/Talk", [&](grpc::ClientContext& c) { c.set_compression_algorithm(algorithm); });
    const std::string text(10'000, 'c');
    REQUIRE(client.write(text));
    CHECK(client.read() == text);
  }
}

TEST_CASE("a deadline ends the call on this side too") {
  Running run;
  Client client(run.channel(), "/test.Echo/Talk", [](grpc::ClientContext& c) { c.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(300)); });
  REQUIRE(client.write("stay"));
  run.await_calls(1);
  CHECK(client.finish().error_code() == grpc::StatusCode::DEADLINE_EXCEEDED);
  run.await_calls(0);
}

TEST_CASE("who cancels, or goes away with the connection, leaves nothing behind") {
  Running run;
  for (int i = 0; i < 10; ++i) {
    Client one(run.channel(), "/test.Echo/Talk");
    Client two(run.channel(), "/test.Echo/Talk");
    REQUIRE(one.write("stay"));
    REQUIRE(two.write("many 100"));
    run.await_calls(2);
    one.context.TryCancel();
    run.await_calls(1);
  }
  run.await_calls(0);
}

TEST_CASE("a client that does not read holds back its own call, and no other") {
  Running run;
  const auto channel = run.channel();
  Client slow(run.channel(), "/test.Echo/Talk");
  Echo::sent = 0;
  REQUIRE(slow.write("many 2000"));  // 200 MB
  Client other(channel, "/test.Echo/Talk");
  for (int i = 0; i < 50; ++i) {
    REQUIRE(other.write("hello"));
    CHECK(other.read() == "hello");
  }
  CHECK(Echo::sent < 400);  // windows, sockets and 64 KB
  for (int i = 0; i < 2000; ++i) REQUIRE(slow.read()->size() == 100'000);
  CHECK(Echo::sent == 2000);
}

TEST_CASE("draining asks calls to finish, tells clients to go elsewhere, and ends") {
  Running run;
  Client client(run.channel(), "/test.Echo/Talk");
  REQUIRE(client.write("hello"));
  CHECK(client.read() == "hello");
  std::promise<void> drained;
  run.worker.post([&] { run.server->drain({}, std::chrono::seconds(20), [&] { drained.set_value(); }); });
  CHECK_FALSE(client.read());
  CHECK(client.finish().error_message() == "going");
  CHECK(drained.get_future().wait_for(kPatience) == std::future_status::ready);
}

TEST_CASE("draining over a time goes from connection to connection, and takes no new one; asked to hurry, it does") {
  for (const bool hurried : {false, true}) {
    INFO(hurried);
    Running run;
    std::vector<std::unique_ptr<Client>> clients;
    for (int i = 0; i < 8; ++i) {
      clients.push_back(std::make_unique<Client>(run.channel(), "/test.Echo/Talk"));
      REQUIRE(clients.back()->write("hello"));
      CHECK(clients.back()->read() == "hello");
    }
    const std::chrono::milliseconds over(hurried ? 3'600'000 : 800);
    std::promise<void> drained;
    const auto begun = std::chrono::steady_clock::now();
    run.worker.run_and_wait([&] { run.server->drain(over, std::chrono::seconds(20), [&] { drained.set_value(); }); });
    sockaddr_storage address;
    const socklen_t size = net::Address::parse(run.address)->to_sockaddr(address);
    const int late = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int refused = connect(late, reinterpret_cast<const sockaddr*>(&address), size) == 0 ? 0 : errno;
    CHECK(refused == ECONNREFUSED);
    close(late);
    if (hurried) run.worker.run_and_wait([&] { run.server->drain({}, std::chrono::seconds(20), [&] { drained.set_value(); }); });
    for (const auto& client : clients) {
      CHECK_FALSE(client->read());
      CHECK(client->finish().error_message() == "going");
    }
    if (!hurried) CHECK(std::chrono::steady_clock::now() - begun >= over * 3 / 4);  // the last one's share is the last eighth
    CHECK(drained.get_future().wait_for(kPatience) == std::future_status::ready);
  }
}

TEST_CASE("a connection that has reached its age is given up for a new one, without a failed call") {
  rpc::Server::Options o;
  o.max_connection_age = std::chrono::milliseconds(50);
  Running run(o);
  const auto channel = run.channel();
  for (int i = 0; i < 5; ++i) {
    Client client(channel, "/test.Echo/Talk");
    REQUIRE(client.write("hello"));
    CHECK(client.read() == "hello");
    CHECK_FALSE(client.read());  // the age ends it
    CHECK(client.finish().error_message() == "going");
  }
}

TEST_CASE("addresses: a name, a Unix socket, one in use, nonsense") {
  net::EventLoop loop;
  const auto named = rpc::Server::listen(loop, {.address = "localhost:0"});
  REQUIRE(named.ok());
  CHECK((*named)->address().starts_with("localhost:"));
  CHECK_FALSE((*named)->address().ends_with(":0"));
  CHECK(absl::IsAlreadyExists(rpc::Server::listen(loop, {.address = (*named)->address()}).status()));
  CHECK(rpc::Server::listen(loop, {.address = "nonsense"}).status().message() == "'nonsense' is not an address: HOST:PORT, [V6]:PORT or unix:PATH");
  CHECK_FALSE(rpc::Server::listen(loop, {.address = "no.such.name.invalid:1"}).ok());
  const std::string path = absl::StrCat("unix:/tmp/fairlead-rpc-test-", getpid());
  const auto unix_socket = rpc::Server::listen(loop, {.address = path});
  REQUIRE(unix_socket.ok());
  CHECK((*unix_socket)->address() == path);
  CHECK(absl::IsAlreadyExists(rpc::Server::listen(loop, {.address = path}).status()));
}

namespace {

// A channel that trusts `ca`, knows the server as "control.test", and shows `own`.
std::shared_ptr<grpc::Channel> secured(const std::string& address, const std::string& ca, const test::MadeCertificate* own = nullptr) {
  grpc::ChannelArguments args;
  args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  args.SetSslTargetNameOverride("control.test");
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = ca;
  if (own != nullptr) {
    options.pem_cert_chain = own->chain;
    options.pem_private_key = own->key;
  }
  return grpc::CreateCustomChannel(address, grpc::SslCredentials(options), args);
}

struct Secured : Running {
  test::Authority ca{"Clients"};
  test::Authority own{"Servers"};
  explicit Secured(bool ask = true) {
    worker.run_and_wait([this] {
      server->add("/test.Echo/Who", [](rpc::Call& call) {
        const rpc::Peer& peer = *call.peer();
        call.finish(absl::AbortedError(absl::StrCat(peer.encrypted ? "encrypted" : "plain", peer.may_carry_secrets() ? " secret" : "", peer.local ? " local " : " ", absl::StrJoin(peer.names, " "))));
        return nullptr;
      });
    });
    use(own.issue("server", "DNS:control.test"), ask ? ca.pem() : "");
  }
  void use(const test::MadeCertificate& made, const std::string& client_ca) {
    tls::ServerOptions options;
    tls::KeyPair pair;
    pair.chain = made.chain;
    pair.key = made.key;
    options.certificates.push_back(pair);
    options.alpn = {"h2"};
    options.require_client_certificate = !client_ca.empty();
    if (!client_ca.empty()) options.verification.emplace().trusted_ca = client_ca;
    options.tickets = options.session_cache = false;
    worker.run_and_wait([&] { server->set_tls(tls::ServerContext::create(options).value()); });
  }
  std::string who(const std::shared_ptr<grpc::Channel>& channel) {
    Client client(channel, "/test.Echo/Who");
    return client.finish().error_message();
  }
  // What a client hears that does not wait until it is let in.
  grpc::Status refused(const std::shared_ptr<grpc::Channel>& channel) {
    grpc::GenericStub stub(channel);
    grpc::CompletionQueue queue;
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kPatience);
    grpc::Slice slice("");
    auto reader = stub.PrepareUnaryCall(&context, "/test.Echo/Who", grpc::ByteBuffer(&slice, 1), &queue);
    reader->StartCall();
    grpc::ByteBuffer answer;
    grpc::Status status;
    reader->Finish(&answer, &status, nullptr);
    void* tag;
    bool ok;
    REQUIRE(queue.AsyncNext(&tag, &ok, std::chrono::system_clock::now() + kPatience) == grpc::CompletionQueue::GOT_EVENT);
    return status;
  }
  uint64_t failures() {
    uint64_t n = 0;
    worker.run_and_wait([&] { n = server->counts().handshakes_failed; });
    return n;
  }
};

}  // namespace

TEST_CASE("a client's certificate says who it is: URIs, then DNS names") {
  Secured run;
  const test::MadeCertificate client = run.ca.issue("client", "DNS:edge.test,URI:spiffe://test/edge,DNS:second.test");
  CHECK(run.who(secured(run.address, run.own.pem(), &client)) == "encrypted secret local spiffe://test/edge edge.test second.test");
  Secured without(false);
  CHECK(without.who(secured(without.address, without.own.pem(), &client)) == "encrypted secret local ");
  Running plain;
  plain.worker.run_and_wait([&] {
    plain.server->add("/test.Echo/Who", [](rpc::Call& call) {
      call.finish(absl::AbortedError(absl::StrCat(call.peer()->encrypted ? "encrypted" : "plain", call.peer()->may_carry_secrets() ? " secret" : "")));
      return nullptr;
    });
  });
  Client client_of_plain(plain.channel(), "/test.Echo/Who");
  CHECK(client_of_plain.finish().error_message() == "plain secret");
}

TEST_CASE("no certificate, a stranger's, an expired one and no TLS at all end in the handshake, and are counted") {
  Secured run;
  log::set_level(log::Level::off);
  CHECK(run.refused(secured(run.address, run.own.pem())).error_code() == grpc::StatusCode::UNAVAILABLE);
  const uint64_t one = run.failures();
  CHECK(one >= 1);
  const test::MadeCertificate foreign = test::Authority("Others").issue("client", "URI:spiffe://test/edge");
  CHECK(run.refused(secured(run.address, run.own.pem(), &foreign)).error_code() == grpc::StatusCode::UNAVAILABLE);
  test::Authority::Wish old;
  old.names = "URI:spiffe://test/edge";
  old.valid_from = -7200;
  old.valid_for = -3600;
  const test::MadeCertificate expired = run.ca.issue("client", old);
  CHECK(run.refused(secured(run.address, run.own.pem(), &expired)).error_code() == grpc::StatusCode::UNAVAILABLE);
  CHECK(run.refused(run.channel()).error_code() == grpc::StatusCode::UNAVAILABLE);
  CHECK(run.failures() >= one + 3);
  // and one that does not trust the server goes away by itself
  const test::MadeCertificate good = run.ca.issue("client", "URI:spiffe://test/edge");
  CHECK(run.refused(secured(run.address, run.ca.pem(), &good)).error_code() == grpc::StatusCode::UNAVAILABLE);
  CHECK(run.who(secured(run.address, run.own.pem(), &good)) == "encrypted secret local spiffe://test/edge");
}

TEST_CASE("a new certificate, and another authority of clients, are for connections to come: a call that is there goes on") {
  Secured run;
  log::set_level(log::Level::off);
  const test::MadeCertificate before = run.ca.issue("client", "URI:spiffe://test/before");
  Client staying(secured(run.address, run.own.pem(), &before), "/test.Echo/Talk");
  REQUIRE(staying.write("hello"));
  CHECK(staying.read() == "hello");
  const test::Authority next("Next"), clients("Next clients");
  run.use(next.issue("server", "DNS:control.test"), clients.pem());
  const test::MadeCertificate after = clients.issue("client", "URI:spiffe://test/after");
  CHECK(run.who(secured(run.address, next.pem(), &after)) == "encrypted secret local spiffe://test/after");
  CHECK(run.refused(secured(run.address, next.pem(), &before)).error_code() == grpc::StatusCode::UNAVAILABLE);
  CHECK(run.refused(secured(run.address, run.own.pem(), &after)).error_code() == grpc::StatusCode::UNAVAILABLE);
  REQUIRE(staying.write(std::string(200'000, 'x')));
  CHECK(staying.read()->size() == 200'000);
}

TEST_CASE("a client that never ends its handshake is not waited for") {
  rpc::Server::Options o;
  o.handshake_timeout = std::chrono::milliseconds(50);
  Running run(o);
  log::set_level(log::Level::off);
  const test::Authority own;
  tls::ServerOptions options;
  tls::KeyPair pair;
  const test::MadeCertificate made = own.issue("server", "DNS:control.test");
  pair.chain = made.chain;
  pair.key = made.key;
  options.certificates.push_back(pair);
  run.worker.run_and_wait([&] { run.server->set_tls(tls::ServerContext::create(options).value()); });
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  const timeval patience{kPatience.count(), 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  const auto address = net::Address::parse(run.address).value();
  sockaddr_storage to;
  const socklen_t size = address.to_sockaddr(to);
  REQUIRE(connect(fd, reinterpret_cast<const sockaddr*>(&to), size) == 0);
  char byte;
  CHECK(recv(fd, &byte, 1, 0) == 0);  // ended by the server
  close(fd);
}
