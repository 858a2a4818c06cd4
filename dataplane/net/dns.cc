// c-ares resolver (dns.h). c-ares tells which descriptors it waits for; each has a level-triggered watch on the loop, and one
// timer carries c-ares' own timeouts. A family with a fall-back is two lookups, one after the other.
#include "dataplane/net/dns.h"

#include <ares.h>
#include <netdb.h>

#include <algorithm>
#include <cstring>
#include <iterator>

#include <absl/container/flat_hash_map.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

namespace fairlead::net {

namespace {

// The library wants one global initialisation before any channel.
int ares_ready() {
  static int result = ares_library_init(ARES_LIB_INIT_ALL);
  return result;
}

absl::Status ares_error(int code, std::string_view name) {
  std::string text = absl::StrCat("DNS lookup of '", name, "': ", ares_strerror(code));
  switch (code) {
    case ARES_ENOTFOUND: return absl::NotFoundError(text);
    case ARES_ETIMEOUT: return absl::DeadlineExceededError(text);
    case ARES_EBADNAME: return absl::InvalidArgumentError(text);
    default: return absl::UnavailableError(text);
  }
}

// RFC 6761, 6.3: these names are loopback whoever is asked. Answered here: c-ares 1.18 knows only the plain name in lower case,
// and leaks a copy of it with every IPv6 answer that the hosts file does not have. Envoy 1.40 (c-ares 1.34) answers the same, in
// the same order, and asks servers for a name that ends in a dot, as is done here.
bool is_localhost(std::string_view name) {
  return absl::EqualsIgnoreCase(name, "localhost") || absl::EndsWithIgnoreCase(name, ".localhost");
}

std::vector<DnsRecord> localhost_records(std::string_view name, DnsFamily family) {
  constexpr std::chrono::seconds ttl{0};  // as of an entry in the hosts file
  const DnsRecord v4{Address::v4_loopback(0), ttl};
  const DnsRecord v6{*Address::from_ip("::1", 0), ttl};
  switch (family) {
    case DnsFamily::V4:
    case DnsFamily::V4Preferred: return {v4};
    case DnsFamily::V6:
    case DnsFamily::Auto: return {v6};
    case DnsFamily::All: break;
  }
  if (absl::EqualsIgnoreCase(name, "localhost")) return {v4, v6};
  return {v6, v4};
}

}  // namespace

struct DnsResolver::Channel {
  struct Socket final : FdHandler {
    Socket(Channel& owner, int descriptor) : channel(owner), fd(descriptor), watch(owner.loop, *this) {}
    void on_fd_ready(uint32_t ready) override {
      int readable = (ready & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0 ? fd : ARES_SOCKET_BAD;
      int writable = (ready & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0 ? fd : ARES_SOCKET_BAD;
      Channel& c = channel;  // processing may end this socket
      ares_process_fd(c.ares, readable, writable);
      c.after_processing();
    }
    Channel& channel;
    int fd;
    FdWatch watch;
  };

  // One resolve(): up to two lookups. Freed when no lookup refers to it and the user's handle is gone or the callback has run.
  struct Request {
    Channel* channel;
    std::string name;
    std::vector<int> families;  // still to ask, in order
    bool both = false;          // the answers of all families are wanted, not the first that is not empty
    std::vector<DnsRecord> records;  // of those answered so far
    int first_status = ARES_SUCCESS;  // of a family that failed, the first's
    std::function<void(DnsAnswer)> callback;
    bool cancelled = false;
  };

  struct Handle final : Query {
    explicit Handle(std::shared_ptr<Request> r) : request(std::move(r)) {}
    ~Handle() override {
      request->cancelled = true;
      request->callback = nullptr;
    }
    std::shared_ptr<Request> request;
  };

  explicit Channel(EventLoop& l)
      : loop(l), timer(l.timers(), [this] { on_timer(); }), finish(LoopTask::of<&Channel::report>(this)) {}

  ~Channel() {
    closing = true;
    if (ares != nullptr) ares_destroy(ares);
  }

  void on_timer() {
    ares_process_fd(ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    after_processing();
  }

  void after_processing() {
    ended.clear();
    timeval limit{};
    timeval* next = ares_timeout(ares, nullptr, &limit);
    if (next == nullptr) return timer.disarm();
    timer.arm(std::chrono::milliseconds(next->tv_sec * 1000 + next->tv_usec / 1000 + 1));
  }

  static void on_socket(void* arg, ares_socket_t fd, int readable, int writable) {
    auto* self = static_cast<Channel*>(arg);
    uint32_t events = (readable ? uint32_t{EPOLLIN} : 0u) | (writable ? uint32_t{EPOLLOUT} : 0u);
    auto it = self->sockets.find(fd);
    if (events == 0) {
      if (it == self->sockets.end()) return;
      it->second->watch.remove();
      self->ended.push_back(std::move(it->second));  // may be the one whose notice is being handled
      self->sockets.erase(it);
    } else if (it == self->sockets.end()) {
      auto socket = std::make_unique<Socket>(*self, fd);
      socket->watch.add(fd, events);
      self->sockets.emplace(fd, std::move(socket));
    } else {
      it->second->watch.modify(events);
    }
  }

  struct Lookup {
    std::shared_ptr<Request> request;
  };

  void ask(std::shared_ptr<Request> request) {
    int family = request->families.front();
    request->families.erase(request->families.begin());
    ares_addrinfo_hints hints{};
    hints.ai_family = family;
    hints.ai_flags = ARES_AI_NOSORT;
    hints.ai_socktype = SOCK_STREAM;
    std::string name = request->name;
    ares_getaddrinfo(ares, name.c_str(), nullptr, &hints, &Channel::on_answer, new Lookup{std::move(request)});
    if (!closing) after_processing();
  }

  static void on_answer(void* arg, int status, int, ares_addrinfo* info) {
    std::unique_ptr<Lookup> lookup(static_cast<Lookup*>(arg));
    std::unique_ptr<ares_addrinfo, void (*)(ares_addrinfo*)> owned(info, ares_freeaddrinfo);
    Request& request = *lookup->request;
    Channel& channel = *request.channel;
    if (channel.closing || request.cancelled) return;
    std::vector<DnsRecord> records;
    for (ares_addrinfo_node* node = info != nullptr ? info->nodes : nullptr; node != nullptr; node = node->ai_next) {
      records.push_back({Address::from_sockaddr(node->ai_addr, node->ai_addrlen).with_port(0), std::chrono::seconds(node->ai_ttl)});
    }
    if (request.both) {
      if (status != ARES_SUCCESS && status != ARES_ENODATA && request.first_status == ARES_SUCCESS) request.first_status = status;
      std::move(records.begin(), records.end(), std::back_inserter(request.records));
      if (!request.families.empty()) {
        channel.again.push_back(lookup->request);
        return channel.loop.run_soon(channel.finish);
      }
      records = std::move(request.records);
      status = records.empty() ? request.first_status : ARES_SUCCESS;  // one family is better than none
    }
    bool none = records.empty() && (status == ARES_SUCCESS || status == ARES_ENODATA || status == ARES_ENOTFOUND);
    if (none && !request.families.empty()) {
      channel.again.push_back(lookup->request);
    } else if (status == ARES_SUCCESS || status == ARES_ENODATA) {
      channel.answers.emplace_back(lookup->request, std::move(records));
    } else {
      channel.answers.emplace_back(lookup->request, ares_error(status, request.name));
    }
    channel.loop.run_soon(channel.finish);
  }

  // Outside c-ares' own call: callbacks may resolve again or destroy the resolver's queries.
  void report() {
    auto next = std::move(again);
    again.clear();
    for (auto& request : next) {
      if (!request->cancelled) ask(request);
    }
    auto ready = std::move(answers);
    answers.clear();
    for (auto& [request, answer] : ready) {
      if (request->cancelled) continue;
      auto callback = std::move(request->callback);
      request->callback = nullptr;
      if (callback) callback(std::move(answer));
    }
  }

  EventLoop& loop;
  ares_channel ares = nullptr;
  Timer timer;
  LoopTask finish;
  absl::flat_hash_map<int, std::unique_ptr<Socket>> sockets;
  std::vector<std::unique_ptr<Socket>> ended;
  std::vector<std::shared_ptr<Request>> again;
  std::vector<std::pair<std::shared_ptr<Request>, DnsAnswer>> answers;
  bool closing = false;
};

DnsResolver::DnsResolver(std::unique_ptr<Channel> channel) : channel_(std::move(channel)) {}
DnsResolver::~DnsResolver() = default;

absl::StatusOr<std::unique_ptr<DnsResolver>> DnsResolver::create(EventLoop& loop, const Options& options) {
  if (int code = ares_ready(); code != ARES_SUCCESS) return absl::InternalError(absl::StrCat("c-ares: ", ares_strerror(code)));
  auto channel = std::make_unique<Channel>(loop);
  ares_options ares{};
  ares.timeout = static_cast<int>(options.timeout.count());
  ares.tries = options.tries;
  ares.sock_state_cb = &Channel::on_socket;
  ares.sock_state_cb_data = channel.get();
  int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB | ARES_OPT_FLAGS;
  ares.flags = (options.use_tcp ? ARES_FLAG_USEVC : 0) | (options.no_search ? ARES_FLAG_NOSEARCH : 0);
  int code = ares_init_options(&channel->ares, &ares, mask);
  if (code != ARES_SUCCESS) return absl::InternalError(absl::StrCat("c-ares: ", ares_strerror(code)));
  if (!options.servers.empty()) {
    std::string list = absl::StrJoin(options.servers, ",", [](std::string* out, const Address& a) { out->append(a.to_string()); });
    code = ares_set_servers_ports_csv(channel->ares, list.c_str());
    if (code != ARES_SUCCESS) return absl::InvalidArgumentError(absl::StrCat("DNS servers '", list, "': ", ares_strerror(code)));
  }
  return std::unique_ptr<DnsResolver>(new DnsResolver(std::move(channel)));
}

std::unique_ptr<DnsResolver::Query> DnsResolver::resolve(std::string_view name, DnsFamily family,
                                                         std::function<void(DnsAnswer)> callback) {
  auto request = std::make_shared<Channel::Request>();
  request->channel = channel_.get();
  request->name = std::string(name);
  request->callback = std::move(callback);
  switch (family) {
    case DnsFamily::V4: request->families = {AF_INET}; break;
    case DnsFamily::V6: request->families = {AF_INET6}; break;
    case DnsFamily::Auto: request->families = {AF_INET6, AF_INET}; break;
    case DnsFamily::V4Preferred: request->families = {AF_INET, AF_INET6}; break;
    case DnsFamily::All:  // one by one: asked for both at once, c-ares leaves it at the hosts file's IPv4 addresses
      request->families = {AF_INET, AF_INET6};
      request->both = true;
      break;
  }
  auto handle = std::make_unique<Channel::Handle>(request);
  if (is_localhost(name)) {
    channel_->answers.emplace_back(std::move(request), localhost_records(name, family));
    channel_->loop.run_soon(channel_->finish);
    return handle;
  }
  channel_->again.push_back(std::move(request));  // asked from report(), so that no callback runs inside this call
  channel_->loop.run_soon(channel_->finish);
  return handle;
}

}  // namespace fairlead::net
