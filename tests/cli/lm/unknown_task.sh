sedge lm translate model
