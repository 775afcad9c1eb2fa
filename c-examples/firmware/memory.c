// All that the library needs of a C library: memcpy, memmove, memset, memcmp
// and bcmp, and on ARM the same under the names of its ABI. Compile this file
// with -fno-builtin -fno-tree-loop-distribute-patterns: otherwise gcc makes
// calls of memcpy out of memcpy's own loop.

#include <stddef.h>
#include <stdint.h>

void *memcpy(void *restrict to, const void *restrict from, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);
void *memset(void *to, int value, size_t bytes);
int memcmp(const void *one, const void *other, size_t bytes);
int bcmp(const void *one, const void *other, size_t bytes);

void *memcpy(void *restrict to, const void *restrict from, size_t bytes)
{
    unsigned char *out = to;
    const unsigned char *in = from;

    while (bytes-- != 0) {
        *out++ = *in++;
    }
    return to;
}

void *memmove(void *to, const void *from, size_t bytes)
{
    unsigned char *out = to;
    const unsigned char *in = from;

    if ((uintptr_t)to <= (uintptr_t)from) {
        return memcpy(to, from, bytes);
    }
    while (bytes-- != 0) {
        out[bytes] = in[bytes];
    }
    return to;
}

void *memset(void *to, int value, size_t bytes)
{
    unsigned char *out = to;

    while (bytes-- != 0) {
        *out++ = (unsigned char)value;
    }
    return to;
}

int memcmp(const void *one, const void *other, size_t bytes)
{
    const unsigned char *left = one;
    const unsigned char *right = other;

    for (; bytes != 0; bytes--, left++, right++) {
        if (*left != *right) {
            return *left - *right;
        }
    }
    return 0;
}

int bcmp(const void *one, const void *other, size_t bytes)
{
    return memcmp(one, other, bytes);
}

#if defined(__arm__)
// Size and value change places in __aeabi_memset.
#define ARM_NAMES(suffix)                                                      \
    void __aeabi_memcpy##suffix(void *to, const void *from, size_t bytes);     \
    void __aeabi_memcpy##suffix(void *to, const void *from, size_t bytes)      \
    {                                                                          \
        memcpy(to, from, bytes);                                               \
    }                                                                          \
    void __aeabi_memmove##suffix(void *to, const void *from, size_t bytes);    \
    void __aeabi_memmove##suffix(void *to, const void *from, size_t bytes)     \
    {                                                                          \
        memmove(to, from, bytes);                                              \
    }                                                                          \
    void __aeabi_memset##suffix(void *to, size_t bytes, int value);            \
    void __aeabi_memset##suffix(void *to, size_t bytes, int value)             \
    {                                                                          \
        memset(to, value, bytes);                                              \
    }                                                                          \
    void __aeabi_memclr##suffix(void *to, size_t bytes);                       \
    void __aeabi_memclr##suffix(void *to, size_t bytes)                        \
    {                                                                          \
        memset(to, 0, bytes);                                                  \
    }

ARM_NAMES()
ARM_NAMES(4)
ARM_NAMES(8)

// Shifts of 64 bits, which the smallest build calls. gcc's own library has them too.
uint64_t __aeabi_llsl(uint64_t value, int by);
uint64_t __aeabi_llsl(uint64_t value, int by)
{
    uint32_t low = (uint32_t)value, high = (uint32_t)(value >> 32);

    if (by >= 32) {
        return (uint64_t)(low << (by - 32)) << 32;
    }
    if (by > 0) {
        high = high << by | low >> (32 - by);
        low <<= by;
    }
    return (uint64_t)high << 32 | low;
}

uint64_t __aeabi_llsr(uint64_t value, int by);
uint64_t __aeabi_llsr(uint64_t value, int by)
{
    uint32_t low = (uint32_t)value, high = (uint32_t)(value >> 32);

    if (by >= 32) {
        return high >> (by - 32);
    }
    if (by > 0) {
        low = low >> by | high << (32 - by);
        high >>= by;
    }
    return (uint64_t)high << 32 | low;
}
#endif
