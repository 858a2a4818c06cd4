// The header x-forwarded-client-cert, by the connection manager's forward_client_cert_details. Pure.
#pragma once

#include "dataplane/config/hcm.h"
#include "dataplane/http/header_map.h"
#include "dataplane/tls/certificate.h"

namespace fairlead::stream {

// `facts`: of the client's connection; null: it is plain.
void set_client_certificate(http::HeaderMap& headers, config::ClientCertHeader what, const config::ClientCertDetails& details, const tls::ConnectionFacts* facts);

}  // namespace fairlead::stream
