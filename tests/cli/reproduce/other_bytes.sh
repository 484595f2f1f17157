printf "1 1 2 3 4\n" >log.txt
printf "name: a\ndata:\n  files: [{path: log.txt, sha256: ed964363df3bf46383b94f7fd91bb9ea8edf66f57fb8ad62fe5b27883e9fda32}]\n  options: {format: s3rec}\ntrain: {model: pop}\n" >r.yaml
sedge reproduce r.yaml -q
