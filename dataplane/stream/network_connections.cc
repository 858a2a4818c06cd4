// Filters' turns; see network_connections.h.
// Invariant: the connection's events are this object's until every filter that looks only at the first bytes has let them pass, and for good
// where one looks at every byte.
#include "dataplane/stream/network_connections.h"

#include <algorithm>

#include <absl/strings/str_cat.h>

#include "base/status.h"
#include "dataplane/net/event_loop.h"
#include "dataplane/stream/connection_log.h"
#include "dataplane/stream/http_connection.h"

namespace fairlead::stream {

using Looks = NetworkFilter::Looks;
using Status = NetworkFilter::Status;

// --- NetworkChain ---------------------------------------------------------------------------------------------------------

absl::Status NetworkChain::add(std::string_view filter_name, const config::NetworkFilterType& type, std::shared_ptr<const config::FilterConfig> config,
                               const NetworkFactoryContext& context, const NetworkFilterRegistry& registry) {
  const std::string place = absl::StrCat("network filter '", filter_name, "'");
  if (terminal != nullptr) return absl::InvalidArgumentError(absl::StrCat(place, ": the filter before it is the last of its chain"));
  const NetworkFilterRegistry::Make* make = registry.find(type.type_url);
  if (make == nullptr) return absl::InvalidArgumentError(absl::StrCat(place, ": this build cannot run ", type.type_url));
  auto factory = (*make)(std::move(config), context);
  if (!factory.ok()) return prefix(place, factory.status());
  if (type.terminal) {
    terminal = *std::move(factory);
  } else {
    filters.push_back(*std::move(factory));
  }
  return absl::OkStatus();
}

// --- FilteredConnection ---------------------------------------------------------------------------------------------------

struct FilteredConnection::Filters {
  std::vector<std::unique_ptr<NetworkFilter>> list;
  size_t begun = 0;   // have been told of the connection
  size_t looked = 0;  // have let the first bytes pass, or never look
  bool closed = false;

  bool first_bytes_passed() const { return looked == list.size(); }
  // Whether a filter looks at bytes: at the first ones at least, or at every one.
  bool any_looks() const {
    return std::any_of(list.begin(), list.end(), [](const auto& filter) { return filter->looks() != Looks::kNever; });
  }
  bool any_always_looks() const {
    return std::any_of(list.begin(), list.end(), [](const auto& filter) { return filter->looks() == Looks::kAlways; });
  }
  void close(net::CloseReason reason) {
    if (std::exchange(closed, true)) return;
    for (size_t i = 0; i < begun; ++i) list[i]->on_closed(reason);
  }
  ~Filters() { close(net::CloseReason::Remote); }  // with the connection manager's connection
};

FilteredConnection::FilteredConnection(NetworkConnections& owner, net::ConnectionPtr connection, std::unique_ptr<ConnectionInfo> info)
    : owner_(&owner), worker_(owner.worker_), chain_(owner.chain_), connection_(std::move(connection)), info_(std::move(info)), draining_(owner.draining_) {
  if (info_ == nullptr) {
    info_ = std::make_unique<ConnectionInfo>();
    info_->direct_remote = info_->remote = connection_->remote_address();
    info_->direct_local = info_->local = connection_->local_address();
    info_->local_restored = connection_->local_restored();
  }
  connection_->set_events(this);
  if (chain_->filters.empty()) return;
  filters_ = std::make_shared<Filters>();
  for (const auto& factory : chain_->filters) {
    filters_->list.push_back(factory->create());
    filters_->list.back()->connection_ = this;
  }
}

FilteredConnection::~FilteredConnection() = default;

void FilteredConnection::begin() {
  while (filters_ != nullptr && filters_->begun < filters_->list.size()) {
    const Status status = filters_->list[filters_->begun++]->on_new_connection();
    if (!usable()) return;
    if (status == Status::kWait) return hold();
  }
  take_over();
}

void FilteredConnection::hold() {
  held_ = true;
  connection_->read_disable();
}

void FilteredConnection::continue_reading() {
  if (!held_ || !usable()) return;
  held_ = false;
  connection_->read_enable();  // what is unread comes again
  if (!taken_over_) begin();
}

void FilteredConnection::take_over() {
  taken_over_ = true;
  if (chain_->manager != nullptr) {
    if (filters_ == nullptr || !filters_->any_looks()) return hand_over();
    if (const auto timeout = chain_->manager->config().idle_timeout; timeout.count() != 0) {
      idle_timer_ = std::make_unique<net::Timer>(worker_.loop().timers(), [this] { on_idle_timeout(); });
      idle_timer_->arm(timeout);
    }
    return;
  }
  if (chain_->terminal == nullptr) return connection_->close(net::CloseType::NoFlush);
  stage_ = Stage::kTerminal;
  terminal_ = chain_->terminal->create_terminal();
  terminal_->start(*this, [this](net::CloseReason reason) { ended(reason); });
}

// The connection is the manager's; this object goes.
void FilteredConnection::hand_over() {
  idle_timer_.reset();
  stage_ = Stage::kEnded;
  NetworkConnections* owner = owner_;
  if (filters_ != nullptr) {
    for (const auto& filter : filters_->list) filter->connection_ = nullptr;
    info_->kept = filters_;
  }
  net::ConnectionPtr connection = std::move(connection_);
  std::unique_ptr<ConnectionInfo> info = std::move(info_);
  handed_over_ = owner != nullptr;
  if (owner != nullptr) owner->http_->accept(std::move(connection), std::move(info));
  remove();
}

void FilteredConnection::on_idle_timeout() { connection_->close(net::CloseType::NoFlush); }

void FilteredConnection::take_events(net::ConnectionEvents& events) {
  events_ = &events;
  if (filters_ == nullptr || !filters_->any_looks()) connection_->set_events(&events);
}

bool FilteredConnection::looked_at() const { return filters_ != nullptr && filters_->any_always_looks(); }

// Whether the bytes may go on.
bool FilteredConnection::look(net::Buffer& data, bool end_stream) {
  if (filters_ == nullptr) return true;
  const bool first = !filters_->first_bytes_passed();
  for (size_t i = first ? filters_->looked : 0; i < filters_->list.size(); ++i) {
    NetworkFilter& filter = *filters_->list[i];
    if (first) filters_->looked = i + 1;
    if (filter.looks() == Looks::kNever || (!first && filter.looks() != Looks::kAlways)) continue;
    const Status status = filter.on_data(data, end_stream);
    if (!usable()) return false;
    if (status == Status::kContinue) continue;
    hold();
    return false;
  }
  return true;
}

void FilteredConnection::on_data(net::Buffer& data, bool end_stream) {
  if (!taken_over_ || !look(data, end_stream)) return;
  if (chain_->manager != nullptr) return hand_over();  // its session takes the connection's events, and so these bytes
  if (events_ == nullptr) return;
  if (looked_at()) return events_->on_data(data, end_stream);
  connection_->set_events(events_);  // likewise
}

void FilteredConnection::on_write_high() {
  if (events_ != nullptr) events_->on_write_high();
}

void FilteredConnection::on_write_low() {
  if (events_ != nullptr) events_->on_write_low();
}

void FilteredConnection::on_closed(net::CloseReason reason) {
  if (stage_ == Stage::kEnded) return;
  if (events_ != nullptr) return events_->on_closed(reason);
  if (stage_ == Stage::kFilters && chain_->terminal != nullptr) {
    terminal_ = chain_->terminal->create_terminal();
    terminal_->not_reached(*this);
  }
  ended(reason);
}

void FilteredConnection::ended(net::CloseReason reason) {
  if (stage_ == Stage::kEnded) return;
  stage_ = Stage::kEnded;
  idle_timer_.reset();
  if (filters_ != nullptr) filters_->close(reason);
  if (info_->log != nullptr && !logged_) info_->log->ended(worker_, *info_, *connection_, reason, chain_->chain_name);
  remove();
}

void FilteredConnection::log_end(format::FormatContext& connection) {
  if (info_->log == nullptr || std::exchange(logged_, true)) return;
  connection.filter_chain_name = chain_->chain_name;
  info_->log->write(worker_, connection);
}

void FilteredConnection::remove() {
  if (owner_ != nullptr) std::exchange(owner_, nullptr)->remove(*this);
  worker_.loop().delete_later(this);
}

void FilteredConnection::drain() {
  draining_ = true;
  if (terminal_ != nullptr) terminal_->drain();
}

void FilteredConnection::close_if_idle() {
  if (stage_ == Stage::kFilters || (terminal_ != nullptr && terminal_->idle())) connection_->close(net::CloseType::NoFlush);
}

// --- NetworkConnections ---------------------------------------------------------------------------------------------------

NetworkConnections::NetworkConnections(WorkerContext& worker, std::shared_ptr<const NetworkChain> chain) : worker_(worker), chain_(std::move(chain)) {
  if (chain_->manager == nullptr) return;
  http_ = std::make_unique<HttpConnections>(worker_, chain_->manager);
  http_->on_empty = [this] { report_empty(); };
  http_->on_gone = [this] {
    if (on_gone) on_gone();
  };
}

NetworkConnections::~NetworkConnections() {
  on_empty = nullptr;
  while (first_ != nullptr) {
    FilteredConnection& connection = *first_;
    remove(connection);
    connection.owner_ = nullptr;
    connection.close(net::CloseType::NoFlush);
  }
}

void NetworkConnections::accept(net::ConnectionPtr connection, std::unique_ptr<ConnectionInfo> info) {
  auto* filtered = new FilteredConnection(*this, std::move(connection), std::move(info));
  add(*filtered);
  filtered->begin();
}

size_t NetworkConnections::size() const { return size_ + (http_ != nullptr ? http_->size() : 0); }

void NetworkConnections::add(FilteredConnection& connection) {
  connection.next_ = first_;
  if (first_ != nullptr) first_->prev_ = &connection;
  first_ = &connection;
  ++size_;
}

void NetworkConnections::remove(FilteredConnection& connection) {
  (connection.prev_ != nullptr ? connection.prev_->next_ : first_) = connection.next_;
  if (connection.next_ != nullptr) connection.next_->prev_ = connection.prev_;
  connection.prev_ = connection.next_ = nullptr;
  --size_;
  if (on_gone && !connection.handed_over_) on_gone();
  report_empty();
}

void NetworkConnections::report_empty() {
  if (size() == 0 && on_empty) on_empty();
}

void NetworkConnections::drain() {
  draining_ = true;
  for (FilteredConnection* c = first_; c != nullptr; c = c->next_) c->drain();
  if (http_ != nullptr) http_->drain();
}

void NetworkConnections::drain_gradually(std::chrono::milliseconds time) {
  draining_ = true;
  for (FilteredConnection* c = first_; c != nullptr; c = c->next_) c->drain();
  if (http_ != nullptr) http_->drain_gradually(time);
}

void NetworkConnections::keep_epoch() {
  if (http_ != nullptr) http_->keep_epoch();
}

void NetworkConnections::close_idle() {
  for (FilteredConnection *c = first_, *next; c != nullptr; c = next) {
    next = c->next_;
    c->close_if_idle();
  }
  if (http_ != nullptr) http_->close_idle();
}

void NetworkConnections::rescale_timeouts(const OverloadState& before) {
  if (http_ != nullptr) http_->rescale_timeouts(before);
}

void NetworkConnections::close_all(net::CloseType type) {
  for (FilteredConnection *c = first_, *next; c != nullptr; c = next) {
    next = c->next_;
    c->close(type);
  }
  if (http_ != nullptr) http_->close_all(type);
}

}  // namespace fairlead::stream
