/* Classifies pictures in the PPM or PGM format (P6, P5): classify [--top N] [--digest] FILE.bitvit PICTURE...
 *
 * --digest prints a digest of the logits instead (FNV-1a of their bytes, 64 bits): equal pixels give equal digests in
 * every language and on every processor. Of a network for segmentation it prints the classes with their shares of the
 * pixels, or the digest of the label map.
 */
#define _XOPEN_SOURCE 700 /* S_IFMT */
#include <bitvit.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static uint64_t digest(const void* data, size_t size) {
  const unsigned char* bytes = data;
  uint64_t hash = UINT64_C(0xcbf29ce484222325);
  for (size_t i = 0; i < size; ++i) hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
  return hash;
}

/* A number of the header; comments begin with #. -1: there is none. */
static long read_number(FILE* file) {
  int c = getc(file);
  long number = -1;
  while (c == '#' || c == ' ' || c == '\t' || c == '\r' || c == '\n') {
    if (c == '#') {
      while (c != '\n' && c != EOF) c = getc(file);
    }
    c = getc(file);
  }
  for (; c >= '0' && c <= '9' && number < 1000000; c = getc(file)) number = (number < 0 ? 0 : number) * 10 + (c - '0');
  return number; /* the single white space behind it has been read as well */
}

/* Not a pipe or a device, which could be read for ever. */
static int is_regular_file(const char* path) {
  struct stat about;
  return stat(path, &about) == 0 && (about.st_mode & S_IFMT) == S_IFREG;
}

/* 1: the picture was read; the caller frees image->pixels. */
static int read_picture(const char* path, bitvit_image* image) {
  int is_read = 0;
  FILE* file = is_regular_file(path) ? fopen(path, "rb") : NULL;
  if (file == NULL) return 0;
  if (getc(file) == 'P') {
    const int kind = getc(file);
    const long width = read_number(file), height = read_number(file), most = read_number(file);
    if ((kind == '5' || kind == '6') && width > 0 && height > 0 && most == 255 && width < (1 << 28) / height) {
      const size_t size = (size_t)width * (size_t)height * (kind == '6' ? 3 : 1);
      uint8_t* pixels = malloc(size);
      is_read = pixels != NULL && fread(pixels, 1, size, file) == size;
      if (!is_read) free(pixels);
      *image = (bitvit_image){pixels, (size_t)width, (size_t)height, kind == '6' ? 3 : 1, 0, 1};
    }
  }
  fclose(file);
  return is_read;
}

static bitvit_code print_classes(const bitvit_model* model, const bitvit_image* image, size_t top, int is_digest,
                                 const char* path, bitvit_error* error) {
  const size_t n_classes = bitvit_class_count(model);
  bitvit_code code;
  if (top > n_classes) top = n_classes;
  if (is_digest) {
    float* logits = malloc(n_classes * sizeof(float));
    code = bitvit_logits(model, image, logits, error);
    if (code == BITVIT_OK) printf("%016" PRIx64 "  %s\n", digest(logits, n_classes * sizeof(float)), path);
    free(logits);
    return code;
  }
  bitvit_ranked* ranked = malloc(top * sizeof(bitvit_ranked));
  code = bitvit_predict(model, image, ranked, ranked == NULL ? 0 : top, error);
  if (code == BITVIT_OK && ranked != NULL) {
    printf("%s\n", path);
    for (size_t i = 0; i < top; ++i) {
      printf("  %5.1f %%  %s\n", 100 * ranked[i].probability, bitvit_label(model, ranked[i].index));
    }
  }
  free(ranked);
  return code;
}

static bitvit_code print_shares(const bitvit_model* model, const bitvit_image* image, int is_digest, const char* path,
                                bitvit_error* error) {
  const size_t n_pixels = image->width * image->height;
  uint8_t* map = malloc(n_pixels);
  const bitvit_code code = bitvit_label_map(model, image, map, error);
  if (code == BITVIT_OK && is_digest) {
    printf("%016" PRIx64 "  %s\n", digest(map, n_pixels), path);
  } else if (code == BITVIT_OK) {
    size_t counts[256] = {0};
    for (size_t i = 0; i < n_pixels; ++i) ++counts[map[i]];
    printf("%s\n", path);
    for (size_t i = 0; i < bitvit_class_count(model); ++i) {
      if (counts[i] != 0)
        printf("  %5.1f %%  %s\n", 100.0 * (double)counts[i] / (double)n_pixels, bitvit_label(model, i));
    }
  }
  free(map);
  return code;
}

int main(int argc, char** argv) {
  size_t top = 5;
  int is_digest = 0, first = 1;
  for (; first < argc && argv[first][0] == '-'; ++first) {
    if (strcmp(argv[first], "--digest") == 0) is_digest = 1;
    if (strcmp(argv[first], "--top") == 0 && first + 1 < argc) top = (size_t)strtoul(argv[++first], NULL, 10);
  }
  if (argc - first < 2) {
    fprintf(stderr, "usage: classify [--top N] [--digest] FILE.bitvit PICTURE.ppm...\n");
    return 2;
  }
  bitvit_model* model;
  bitvit_error error;
  if (bitvit_load_file(argv[first], NULL, &model, &error) != BITVIT_OK) {
    fprintf(stderr, "error: %s (%s)\n", error.message, bitvit_code_name(error.code));
    return 2;
  }
  int status = 0;
  for (int i = first + 1; i < argc; ++i) {
    bitvit_image image;
    if (!read_picture(argv[i], &image)) {
      fprintf(stderr, "error: %s: this is no PPM or PGM picture of 8 bits\n", argv[i]);
      status = 2;
      continue;
    }
    const bitvit_code code = bitvit_model_task(model) == BITVIT_SEGMENTATION
                                 ? print_shares(model, &image, is_digest, argv[i], &error)
                                 : print_classes(model, &image, top, is_digest, argv[i], &error);
    if (code != BITVIT_OK) {
      fprintf(stderr, "error: %s: %s (%s)\n", argv[i], error.message, bitvit_code_name(code));
      status = 2;
    }
    free((void*)image.pixels);
  }
  bitvit_free(model);
  return status;
}
