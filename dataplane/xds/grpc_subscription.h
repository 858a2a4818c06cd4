// One stream to one management server: ADS with all types, or one type of its own. Joins SotwState/DeltaState to a Connector, with back-off.
// Private to dataplane/xds. Main thread only.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "dataplane/net/timer.h"
#include "dataplane/xds/delta_state.h"
#include "dataplane/xds/sources.h"

namespace envoy::service::discovery::v3 {
class Resource;
}

namespace fairlead::xds {

class GrpcSubscription final : private StreamEvents {
 public:
  // `type`: the only one, or nothing for ADS.
  GrpcSubscription(const Sources::Options& options, config::ApiSource source, std::string source_key, std::optional<Type> type, bool reports_connection, uint64_t seed);
  ~GrpcSubscription() override;

  void set_interest(Type type, Interest interest);
  void clear_interest(Type type);

 private:
  void on_open() override;
  void on_message(std::string message) override;
  void on_closed(absl::Status status) override;
  void connect();
  void flush();
  void break_stream(const absl::Status& status);
  void take_sotw(const std::string& bytes);
  void take_delta(const std::string& bytes);
  void send_sotw(Type type, const SotwRequest& request);
  void send_delta(Type type, const DeltaRequest& request);
  bool with_node();
  void take_resource(const envoy::service::discovery::v3::Resource& resource, Update& update);
  void set_connected(bool connected);

  const Sources::Options& options_;
  const config::ApiSource source_;
  const std::string source_key_;
  const std::optional<Type> type_;
  const bool delta_;
  const bool reports_connection_;
  BackOff back_off_;
  net::Timer retry_;
  size_t next_service_ = 0;
  bool node_sent_ = false, connected_ = false;
  std::map<Type, SotwState> sotw_;
  std::map<Type, DeltaState> incremental_;
  std::unique_ptr<Stream> stream_;
};

}  // namespace fairlead::xds
