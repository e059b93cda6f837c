#include "base/digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <stdlib.h>

static pthread_once_t digest_once = PTHREAD_ONCE_INIT;
static EVP_MD *digest_sha256;

/* Fetched once: an implicit fetch at each call costs four times the hash itself. */
static void digest_fetch(void)
{
    digest_sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (digest_sha256 == NULL) {
        abort();
    }
}

static struct sha256 digest_of_parts(const struct span *parts, size_t count)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    struct sha256 out;

    (void)pthread_once(&digest_once, digest_fetch);
    if (ctx == NULL || EVP_DigestInit_ex2(ctx, digest_sha256, NULL) != 1) {
        abort();
    }
    for (size_t i = 0; i < count; i++) {
        if (EVP_DigestUpdate(ctx, parts[i].ptr, parts[i].len) != 1) {
            abort();
        }
    }
    if (EVP_DigestFinal_ex(ctx, out.bytes, NULL) != 1) {
        abort();
    }
    EVP_MD_CTX_free(ctx);
    return out;
}

struct sha256 sha256_of(struct span data)
{
    return digest_of_parts(&data, 1);
}

struct sha256 sha256_of_pair(struct span a, struct span b)
{
    const char len[4] = {(char)(a.len >> 24), (char)(a.len >> 16), (char)(a.len >> 8), (char)a.len};
    const struct span parts[] = {span_of(len, sizeof(len)), a, b};

    return digest_of_parts(parts, 3);
}

bool sha256_eq(const struct sha256 *a, const struct sha256 *b)
{
    return CRYPTO_memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

struct sha256 hmac_sha256(struct span key, struct span data)
{
    struct sha256 out;

    (void)pthread_once(&digest_once, digest_fetch);
    if (HMAC(digest_sha256, key.ptr, (int)key.len, (const unsigned char *)data.ptr, data.len,
             out.bytes, NULL) == NULL) {
        abort();
    }
    return out;
}

bool secret_eq(struct span a, struct span b)
{
    return a.len == b.len && (a.len == 0 || CRYPTO_memcmp(a.ptr, b.ptr, a.len) == 0);
}
