// See listener_transport.h.
#include "dataplane/config/listener_transport.h"

#include "dataplane/config/fields.h"
#include "envoy/config/listener/v3/listener_components.pb.h"
#include "envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb.h"

namespace fairlead::config {

std::shared_ptr<const DownstreamTls> parse_chain_transport(const envoy::config::listener::v3::FilterChain& proto, const std::string& field, const HcmOptions& options, ErrorList& errors) {
  using Context = envoy::extensions::transport_sockets::tls::v3::DownstreamTlsContext;
  if (!proto.has_transport_socket()) return nullptr;
  const auto& any = proto.transport_socket().typed_config();
  if (any.Is<envoy::extensions::transport_sockets::raw_buffer::v3::RawBuffer>()) return nullptr;
  const std::string place = field + ".transport_socket.typed_config";
  if (!any.Is<Context>()) {
    errors.add(unknown_extension(field + ".transport_socket", proto.transport_socket().name(), any.type_url()));
    return nullptr;
  }
  auto context = unpack_as<Context>(any, place);
  if (!errors.check(context)) return nullptr;
  auto parsed = parse_downstream_tls(*context, place, {options.read_file, options.secrets, options.discovered});
  return errors.check(parsed) ? *std::move(parsed) : nullptr;
}

}  // namespace fairlead::config
