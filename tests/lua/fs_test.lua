local fs = require("fs")

describe("fs.get", function()
	it("gives volumes with folders of their own", function()
		local a, b = assert(fs.get("app:scratch")), assert(fs.get("app:scratch"))
		assert(a:exists("dir") or a:mkdir("dir"))
		assert.is_true(a:chdir("dir"))
		assert.equal("/dir", a:pwd())
		assert.equal("/", b:pwd())
		assert.equal("fs.FS{cwd=/dir}", tostring(a))
	end)

	it("does not know others", function()
		local none, err = fs.get("app:nothing")
		assert.is_nil(none)
		assert.equal("filesystem not found: app:nothing", err:message())
		test.is_error(err, "NotFound")
		_, err = fs.get("")
		test.is_error(err, "Invalid")
	end)

	it("has the folder of the test file", function()
		assert.is_true(fs.get("script:dir"):exists("fs_test.lua"))
	end)
end)

describe("a volume", function()
	local vol

	local function clear(path)
		for entry in vol:readdir(path) do
			local inner = path .. "/" .. entry.name
			if entry.type == fs.type.DIR then
				clear(inner)
			end
			assert(vol:remove(inner))
		end
	end

	before_each(function()
		vol = assert(fs.get("app:scratch"))
		clear("/")
	end)

	it("writes and reads whole files", function()
		local data = "binary \0 \255 data"
		assert.is_true(vol:writefile("a.bin", data))
		assert.equal(data, vol:readfile("/a.bin"))
		assert.is_true(vol:write_file("a.bin", "+", "a"))
		assert.equal(#data + 1, #vol:read_file("a.bin"))
		local ok, err = vol:writefile("a.bin", "x", "wx")
		assert.is_false(ok)
		test.is_error(err, "NotFound")
		assert.is_nil(err:retryable())
		ok, err = vol:writefile("a.bin", nil)
		assert.equal("data argument required", err:message())
	end)

	it("stats, lists and removes", function()
		assert.is_true(vol:mkdir("d"))
		vol:writefile("d/f.txt", "hello")
		local stat = assert(vol:stat("d/f.txt"))
		assert.equal("f.txt", stat.name)
		assert.equal(5, stat.size)
		assert.is_false(stat.is_dir)
		assert.equal(fs.type.FILE, stat.type)
		assert.is_integer(stat.modified)
		local seen = {}
		for entry in vol:readdir("d") do
			seen[entry.name] = entry.type
		end
		assert.same({ ["f.txt"] = "file" }, seen)
		local ok, err = vol:remove("d")
		assert.is_false(ok)
		test.is_error(err, "Invalid")
		assert.is_true(vol:remove("d/f.txt"))
		assert.is_true(vol:remove("d"))
		assert.is_false(vol:exists("d"))
		ok, err = vol:mkdir("d")
		assert.is_true(ok)
		ok, err = vol:mkdir("d")
		test.is_error(err, "AlreadyExists")
		assert.is_true(vol:isdir("d"))
	end)

	it("keeps inside of its folder", function()
		for _, path in ipairs({ "../x", "/../../etc/passwd", "a/../../x" }) do
			local data, err = vol:readfile(path)
			assert.is_nil(data)
			test.is_error(err, "Invalid")
		end
		local _, err = vol:readfile("a\0b")
		test.is_error(err, "Invalid")
		_, err = vol:open("", "r")
		assert.equal("path required", err:message())
	end)

	it("opens files in four modes", function()
		local file = assert(vol:open("f", "w"))
		assert.is_true(file:write("hello world"))
		assert.equal(6, file:seek(fs.seek.SET, 6))
		assert.is_true(file:write("W"))
		assert.is_true(file:sync())
		assert.is_true(file:close())
		assert.is_true(file:close())
		assert.equal("hello World", vol:readfile("f"))
		local none, err = vol:open("f", "wx")
		assert.is_nil(none)
		test.is_error(err, "NotFound")
		none, err = vol:open("f", "rw")
		test.is_error(err, "Invalid")
		assert.has_error(function()
			vol:open("f")
		end)
	end)

	it("reads in pieces to the end", function()
		vol:writefile("f", "abcdef")
		local file = assert(vol:open("f", "r"))
		assert.equal("abcd", file:read(4))
		assert.equal("ef", file:read(4))
		local data, err = file:read(4)
		assert.is_nil(data)
		assert.equal("EOF", tostring(err))
		test.is_error(err, "NotFound")
		_, err = file:read(0)
		assert.equal("size must be positive", err:message())
		file:close()
		_, err = file:read(1)
		assert.matches("file already closed", tostring(err), 1, true)
	end)

	it("scans lines, words and runes", function()
		vol:writefile("f", "one two\r\nthrée\nlast")
		local function tokens(split)
			local file, found = assert(vol:open("f", "r")), {}
			local scanner = assert(file:scanner(split))
			while scanner:scan() do
				found[#found + 1] = scanner:text()
			end
			assert.is_nil(scanner:err())
			file:close()
			return found
		end
		assert.same({ "one two", "thrée", "last" }, tokens())
		assert.same({ "one", "two", "thrée", "last" }, tokens("words"))
		assert.equal(19, #tokens("runes"))
		assert.equal(20, #tokens("bytes"))
		local file = vol:open("f", "r")
		local _, err = file:scanner("chapters")
		test.is_error(err, "Invalid")
	end)
end)
