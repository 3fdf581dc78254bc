/*
 * What Pushwright changes in mbedTLS 3.6's default configuration.
 *
 * The build appends this file to the installed mbedtls/mbedtls_config.h, so
 * that the library, curl, libgit2 and the project see the same structures: the
 * options below change their layout.
 *
 * Kept: a TLS 1.2 and 1.3 client with AES-GCM and ChaCha20-Poly1305, X.509 and
 * PEM parsing, ECDSA on P-256/384/521, RSA, HMAC, SHA-1 (git and old roots),
 * SHA-2, base64 and the error texts.
 */

/* Function threads share one random generator, and PSA keeps global state. */
#define MBEDTLS_THREADING_C
#define MBEDTLS_THREADING_PTHREAD

/* Entropy comes from mbedtls_entropy.c. */
#define MBEDTLS_NO_PLATFORM_ENTROPY
#define MBEDTLS_ENTROPY_HARDWARE_ALT

/* SHA-256 with the processor's own instructions where it has them. */
#if defined(__x86_64__)
#define MBEDTLS_SHA256_PROCESS_ALT /* mbedtls_sha256_ni.c */
#elif defined(__aarch64__)
#define MBEDTLS_SHA256_USE_ARMV8_A_CRYPTO_IF_PRESENT
#endif

/* SHA-1 as small as it gets: what is hashed with it here is next to nothing. */
#define MBEDTLS_SHA1_PROCESS_ALT /* mbedtls_sha1_small.c */

/* No server side, no datagrams, no sockets of its own. */
#undef MBEDTLS_NET_C
#undef MBEDTLS_SSL_CACHE_C
#undef MBEDTLS_SSL_CONTEXT_SERIALIZATION
#undef MBEDTLS_SSL_COOKIE_C
#undef MBEDTLS_SSL_DTLS_ANTI_REPLAY
#undef MBEDTLS_SSL_DTLS_CLIENT_PORT_REUSE
#undef MBEDTLS_SSL_DTLS_CONNECTION_ID
#undef MBEDTLS_SSL_DTLS_CONNECTION_ID_COMPAT
#undef MBEDTLS_SSL_DTLS_HELLO_VERIFY
#undef MBEDTLS_SSL_MAX_FRAGMENT_LENGTH
#undef MBEDTLS_SSL_PROTO_DTLS
#undef MBEDTLS_SSL_RENEGOTIATION
#undef MBEDTLS_SSL_SRV_C
#undef MBEDTLS_SSL_TICKET_C
#undef MBEDTLS_TIMING_C

/* Key exchanges without forward secrecy, or that no public server needs. */
#undef MBEDTLS_DHM_C
#undef MBEDTLS_ECJPAKE_C
#undef MBEDTLS_KEY_EXCHANGE_DHE_PSK_ENABLED
#undef MBEDTLS_KEY_EXCHANGE_DHE_RSA_ENABLED
#undef MBEDTLS_KEY_EXCHANGE_ECDHE_PSK_ENABLED
#undef MBEDTLS_KEY_EXCHANGE_ECDH_ECDSA_ENABLED
#undef MBEDTLS_KEY_EXCHANGE_ECDH_RSA_ENABLED
#undef MBEDTLS_KEY_EXCHANGE_PSK_ENABLED
#undef MBEDTLS_KEY_EXCHANGE_RSA_ENABLED
#undef MBEDTLS_KEY_EXCHANGE_RSA_PSK_ENABLED
#undef MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_PSK_ENABLED

/* Curves, ciphers and hashes that public certificates do not use. */
#undef MBEDTLS_ARIA_C
#undef MBEDTLS_CAMELLIA_C
#undef MBEDTLS_CCM_C
#undef MBEDTLS_CIPHER_MODE_CFB
#undef MBEDTLS_CIPHER_MODE_OFB
#undef MBEDTLS_CIPHER_MODE_XTS
#undef MBEDTLS_CMAC_C
#undef MBEDTLS_DES_C
#undef MBEDTLS_ECP_DP_BP256R1_ENABLED
#undef MBEDTLS_ECP_DP_BP384R1_ENABLED
#undef MBEDTLS_ECP_DP_BP512R1_ENABLED
#undef MBEDTLS_ECP_DP_CURVE448_ENABLED
#undef MBEDTLS_ECP_DP_SECP192K1_ENABLED
#undef MBEDTLS_ECP_DP_SECP192R1_ENABLED
#undef MBEDTLS_ECP_DP_SECP224K1_ENABLED
#undef MBEDTLS_ECP_DP_SECP224R1_ENABLED
#undef MBEDTLS_ECP_DP_SECP256K1_ENABLED
#undef MBEDTLS_LMS_C
#undef MBEDTLS_NIST_KW_C
#undef MBEDTLS_PADLOCK_C
#undef MBEDTLS_RIPEMD160_C
#undef MBEDTLS_SHA3_C

/* For TLS 1.2 with servers older than AES-GCM (2012), and for keys under a password. */
#undef MBEDTLS_CIPHER_MODE_CBC
#undef MBEDTLS_MD5_C
#undef MBEDTLS_SSL_ENCRYPT_THEN_MAC

/* Curves written out in a key instead of named, keys that live outside of the library. */
#undef MBEDTLS_PK_PARSE_EC_EXTENDED
#undef MBEDTLS_PK_RSA_ALT_SUPPORT

/* Writing certificates, revocation lists, key containers, prime generation. */
#undef MBEDTLS_GENPRIME
#undef MBEDTLS_PEM_WRITE_C
#undef MBEDTLS_PKCS12_C
#undef MBEDTLS_PKCS5_C
#undef MBEDTLS_PKCS7_C
#undef MBEDTLS_X509_CREATE_C
#undef MBEDTLS_X509_CRL_PARSE_C
#undef MBEDTLS_X509_CRT_WRITE_C
#undef MBEDTLS_X509_CSR_PARSE_C
#undef MBEDTLS_X509_CSR_WRITE_C

/* Keys stored in files, debugging aids. */
#undef MBEDTLS_DEBUG_C
#undef MBEDTLS_PSA_CRYPTO_STORAGE_C
#undef MBEDTLS_PSA_ITS_FILE_C
#undef MBEDTLS_SELF_TEST
#undef MBEDTLS_VERSION_FEATURES
