/*
 * CRC-64/NVME (polynomial 0xad93d23594c93659, reflected, inverted at both ends), the checksum that Azure
 * names x-ms-content-crc64. ISA-L has other polynomials only. Pure; from any thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

uint64_t crc64_nvme(uint64_t crc, const void *data,
                    size_t size); /* crc 0 to begin with; "123456789": 0xae8b14860a799888 */
/* Of two strings, one behind the other, from theirs and the length of the second. */
uint64_t crc64_nvme_combine(uint64_t first, uint64_t second, uint64_t second_size);

/* For tests: without the CPU's carry-less multiplication. */
void crc64_nvme_without_clmul(int without);
