sedge import s3rec log.txt -o shop; ls
